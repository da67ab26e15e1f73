//! Dialling an upstream: its addresses in turn, until one takes the connection.
//!
//! Deliberately absent: names (the snapshot has addresses) and the deadline (the exchange aborts the dial).

use std::rc::Rc;

use crate::base::fault::{DeadlineKind, Fault};
use crate::io::{ConnectFault, Dial, Socket, Target, connect};

/// Connects to the first of the targets that takes the connection. A refusal moves on: nothing was sent.
pub(super) async fn dial(dial: Rc<Dial>, targets: Vec<Target>) -> Result<Rc<Socket>, Fault> {
    let mut fault = Fault::NameUnresolved;
    for target in targets {
        match connect(Rc::clone(&dial), target).await {
            Ok(socket) => return Ok(socket),
            Err(ConnectFault::Refused) => fault = Fault::ConnectRefused,
            Err(other) => return Err(of(other)),
        }
    }
    Err(fault)
}

/// A dial that could not be made, as the exchange sees it. An aborted one was aborted by the connect
/// deadline, or by an exchange that no longer listens.
pub(super) const fn of(fault: ConnectFault) -> Fault {
    match fault {
        ConnectFault::Tls => Fault::TlsHandshake,
        ConnectFault::Aborted => Fault::Deadline(DeadlineKind::Connect),
        ConnectFault::Refused | ConnectFault::NoDescriptors | ConnectFault::Other => Fault::ConnectRefused,
    }
}
