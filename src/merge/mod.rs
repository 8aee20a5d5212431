//! The algebra of three-way merging: no paths of a host, no clock, no effects.

