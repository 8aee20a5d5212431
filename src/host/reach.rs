//! From a deployment's address to its host: here, or over ssh. Nobody above asks which.
//!
//! Connections live here and not in a host, so that everybody who asks about a deployment, and every deployment
//! on one machine, shares what there is. It may outlive a reading of the fleet file.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::remote::{RemoteHost, Session, Spent};
use super::ssh::{PATIENCE, Settings, Ssh};
use super::wire::hello::Bound;
use super::{Host, LocalHost};
use crate::model::fleet::{Deployment, Fleet, HostAddress};
use crate::model::ssh::{Destination, Privilege};
use crate::model::{DeploymentName, FleetName, HostPath};

type Place = (HostAddress, FleetName, DeploymentName, HostPath);

/// How hosts are reached, and the connections there are.
#[derive(Debug, Default)]
pub struct Reach {
    settings: Arc<Settings>,
    machines: Mutex<BTreeMap<(Destination, Privilege), Arc<Ssh>>>,
    sessions: Mutex<BTreeMap<Place, Arc<Session>>>,
}

impl Reach {
    /// Nothing is connected before a host is asked something.
    pub fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings), machines: Mutex::default(), sessions: Mutex::default() }
    }

    /// The host of a deployment. Nothing happens to it yet.
    pub fn host(&self, deployment: &Deployment, fleet: &Fleet) -> Box<dyn Host> {
        let Deployment { host: address, name, root, .. } = deployment;
        let patience = fleet.pace.host_timeout.unwrap_or(PATIENCE);
        let fleet = &fleet.name;
        let (to, privilege) = match address {
            HostAddress::Local => return Box::new(LocalHost::open(root.clone())),
            HostAddress::Ssh { to, privilege } => (to, *privilege),
        };
        let place = (address.clone(), fleet.clone(), name.clone(), root.clone());
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.entry(place).or_insert_with(|| {
            let bound = Bound { fleet: fleet.clone(), deployment: name.clone(), root: root.clone() };
            Arc::new(Session::new(self.machine(to, privilege, patience), bound))
        });
        Box::new(RemoteHost::over(Arc::clone(session)))
    }

    fn machine(&self, to: &Destination, privilege: Privilege, patience: Duration) -> Arc<Ssh> {
        let mut machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        let machine = machines.entry((to.clone(), privilege)).or_insert_with(|| {
            Arc::new(Ssh::new(to.clone(), privilege, Arc::clone(&self.settings), patience))
        });
        Arc::clone(machine)
    }

    /// What all connections cost so far.
    pub fn spent(&self) -> Spent {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.values().map(|session| session.spent()).fold(Spent::default(), Spent::plus)
    }
}
