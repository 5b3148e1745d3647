//! What a run does next: pure.
