//! HTTP: events in, history out.
