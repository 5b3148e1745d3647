//! The verbs of steps: one file each, one line each in a list.
