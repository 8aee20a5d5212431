//! Where symbolic links lead, as a computation on text.
