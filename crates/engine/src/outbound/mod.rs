//! The only outbound client: destinations, address guard, signatures, retries.
