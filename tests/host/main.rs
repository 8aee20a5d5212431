//! Hosts: the contract that all of them keep, and what only a disk can show.

mod contract;
mod disk;
mod kill;
mod power;
mod world;
