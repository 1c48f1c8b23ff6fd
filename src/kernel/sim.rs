//! A simulated, seeded kernel.
