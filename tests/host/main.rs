//! Hosts: the contract that all of them keep, and what only a disk can show.

mod contract;
mod disk;
mod glance;
mod kill;
mod power;
mod world;
