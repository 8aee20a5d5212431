//! Hosts: the contract that all of them keep.

mod away;
mod contract;
mod glance;
mod lacking;
mod sshd;
mod stream;
mod world;
