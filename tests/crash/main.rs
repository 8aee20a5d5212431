//! A root on this machine against whatever can go wrong: kills, failing calls, power cuts, odd disks.

mod care;
mod disk;
mod hostile;
mod kill;
mod memory;
mod order;
mod power;
mod races;
mod replay;
mod stand;
mod weather;
#[path = "../host/world.rs"]
#[expect(dead_code, reason = "the contract of hosts in memory needs more of it")]
mod world;
