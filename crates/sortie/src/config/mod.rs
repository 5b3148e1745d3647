//! The configuration: flags, environment, `sortie.yaml`, defaults, in this order.
