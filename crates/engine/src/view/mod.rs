//! Reading the history: what listings and pages show.
