//! Hosts: the contract that all of them keep.

mod away;
mod contract;
mod glance;
mod lacking;
mod stream;
mod world;
