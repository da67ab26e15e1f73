//! The ring by itself: its alarm, its buffers when they run out, and what a dropped ring leaves behind.
//!
//! Deliberately absent: connections (`link`, `link_tls`).

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use super::turns::*;
use super::*;
use crate::base::time::Moment;

/// Together they get more in one turn than the ring offers buffers.
const LINKS: usize = 40;
/// Sent to each at once, as far as the kernel takes it.
const BYTES: usize = 150_000;

fn after(millis: u64) -> Moment {
    clock::now() + Duration::from_millis(millis)
}

#[test]
fn an_earlier_alarm_goes_first_and_a_later_one_costs_nothing() {
    let Some(mut turns) = Turns::new() else { return };
    let started = Instant::now();
    turns.ring.wake_by(Moment::NEVER);
    turns.ring.wake_by(after(20_000));
    let early = after(20);
    turns.ring.wake_by(early);
    // Later than the one that runs: the wait returns early once.
    turns.ring.wake_by(after(40));
    turns.wait_for_nothing(early);
    turns.wait_for_nothing(after(10));
    assert!(started.elapsed() < Duration::from_secs(15), "the first alarm was waited for");
}

#[test]
fn an_alarm_of_the_past_goes_off_at_once() {
    let Some(mut turns) = Turns::new() else { return };
    turns.ring.wake_by(Moment::from_nanos(1));
    turns.ring.wait().unwrap();
    assert!(matches!(turns.ring.next(&mut turns.spares), Some(Done::Nothing)));
    assert!(turns.ring.next(&mut turns.spares).is_none());
}

#[test]
fn an_alarm_that_was_overtaken_does_not_make_the_next_one_start_twice() {
    let Some(mut turns) = Turns::new() else { return };
    let (near, _far) = UnixStream::pair().unwrap();
    let (first, second) = (after(60), after(20));
    for alarm in [first, second] {
        turns.ring.wake_by(alarm);
        // Submits it; a poll that is ready at once keeps the wait from waiting.
        turns.ring.poll(&near, libc::POLLOUT, 0);
        turns.ring.wait().unwrap();
        assert!(matches!(turns.ring.next(&mut turns.spares), Some(Done::Ready { token: 0 })));
    }
    let mut count = turns.wait_for_nothing(second);
    count += turns.wait_for_nothing(after(120));
    // Whatever was started in vain is due now.
    count += turns.wait_for_nothing(after(5));
    // The first, the second, the third and the last one.
    assert_eq!(count, 4, "each alarm once");
}

#[test]
fn running_out_of_buffers_loses_nothing() {
    let Some(mut turns) = Turns::new() else { return };
    let mut fars = Vec::new();
    for _ in 0..LINKS {
        let (near, far) = UnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        fars.push((turns.open(OwnedFd::from(near).into(), None), far));
    }
    // All receives are armed before the first byte comes, so that one turn brings more than the ring offers.
    turns.turn();
    for round in 0..3 {
        let mut expected = Vec::new();
        for (token, far) in &mut fars {
            let bytes = pattern(BYTES + *token as usize + round);
            let mut written = 0;
            while let Ok(count) = far.write(&bytes[written..]) {
                written += count;
                if written == bytes.len() {
                    break;
                }
            }
            expected.push(bytes[..written].to_vec());
        }
        for ((token, _), bytes) in fars.iter().zip(&expected) {
            assert!(turns.recv_exact(*token, bytes.len()) == *bytes, "round {round}: the bytes differ");
        }
    }
    assert!(fars.iter().any(|(token, _)| turns.tally(*token).dry > 0), "the buffers never ran out");
    // Those that had to wait hear of the end like the others.
    fars.iter().for_each(|(_, far)| far.shutdown(std::net::Shutdown::Both).unwrap());
    for (token, _) in fars {
        assert_eq!(turns.recv(token, room(1)).0.unwrap(), 0);
        turns.close(token);
    }
}

#[test]
fn more_operations_than_the_queue_holds_all_complete() {
    let Some(mut turns) = Turns::new() else { return };
    let (near, far) = UnixStream::pair().unwrap();
    drop(far);
    // Each is ready at once; twice as many as there are completions, so that the kernel has to keep some.
    for token in 0..32 * 1024 {
        turns.ring.poll(&near, libc::POLLIN, token);
    }
    let mut seen = vec![false; 32 * 1024];
    let started = Instant::now();
    while seen.contains(&false) {
        assert!(started.elapsed() < PATIENCE, "completions are lost");
        turns.ring.wake_by(after(50));
        turns.ring.wait().unwrap();
        while let Some(done) = turns.ring.next(&mut turns.spares) {
            if let Done::Ready { token } = done {
                assert!(!std::mem::replace(&mut seen[token as usize], true), "{token} completed twice");
            }
        }
    }
}

#[test]
fn a_ring_may_go_while_the_kernel_still_holds_operations() {
    for _ in 0..20 {
        let Some(mut turns) = Turns::new() else { return };
        let (near, mut far) = UnixStream::pair().unwrap();
        let token = turns.open(OwnedFd::from(near).into(), None);
        turns.send(token, own(&pattern(1 << 20)));
        turns.turn();
        far.write_all(b"to nobody").unwrap();
        // The receive is armed and the send is stuck: its memory must outlive the ring.
        drop(turns);
        let _ended_anywhere = std::io::copy(&mut far, &mut std::io::sink());
    }
}
