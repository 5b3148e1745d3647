//! The one loop that works on runs.
