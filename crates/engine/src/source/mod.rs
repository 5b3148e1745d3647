//! What the products send, made into events of one shape.
