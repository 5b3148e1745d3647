//! "All threat details": the payload, from stored state.
