//! What follows from an event: pure.
