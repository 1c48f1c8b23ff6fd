use super::*;
use proptest::prelude::*;

struct Table(Vec<Link>);

impl Links for Table {
    fn link(&mut self, slot: u32) -> Option<&mut Link> {
        self.0.get_mut(slot as usize)
    }
}

fn expire(wheel: &mut Wheel, table: &mut Table, now: u64) -> Vec<u32> {
    let mut fired = Vec::new();
    wheel.expire(table, Tick(now), |slot| fired.push(slot));
    fired.sort_unstable();
    fired
}

#[test]
fn fires_when_due_and_not_before() {
    let (mut wheel, mut table) = (Wheel::new(Tick(5)), Table(vec![Link::NONE; 2]));
    wheel.arm(&mut table, 0, Tick(1_000_000));
    wheel.arm(&mut table, 1, Tick(15_000_000));
    assert_eq!(expire(&mut wheel, &mut table, 999_999), [0_u32; 0]);
    assert_eq!(expire(&mut wheel, &mut table, 1_020_000), [0]);
    wheel.disarm(&mut table, 1);
    assert_eq!(wheel.next(), None);
    assert_eq!(expire(&mut wheel, &mut table, 20_000_000), [0_u32; 0]);
}

#[test]
fn arming_by_a_time_never_puts_a_timer_off() {
    let (mut wheel, mut table) = (Wheel::new(Tick(5)), Table(vec![Link::NONE; 1]));
    wheel.arm_by(&mut table, 0, Tick(3_000_000));
    wheel.arm_by(&mut table, 0, Tick(1_000_000));
    wheel.arm_by(&mut table, 0, Tick(2_000_000));
    assert_eq!(expire(&mut wheel, &mut table, 999_999), [0_u32; 0]);
    assert_eq!(expire(&mut wheel, &mut table, 1_020_000), [0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// A naive list of deadlines is the oracle: nothing early, nothing more than a tick late,
    /// everything once, and `next` never later than the first deadline.
    #[test]
    fn agrees_with_a_list(
        start in 0_u64..1 << 40,
        steps in prop::collection::vec(
            (0_u32..40, 0_u64..4, 0_u64..400_000_000_000, 0_u64..2_000_000_000), 1..200),
    ) {
        let (mut wheel, mut table) = (Wheel::new(Tick(start)), Table(vec![Link::NONE; 40]));
        let mut armed: Vec<Option<u64>> = vec![None; 40];
        let mut now = start;
        for (slot, action, delay, advance) in steps {
            // Mostly short delays and steps, as in life; now and then days.
            let delay = delay >> (action * 8);
            match action {
                0 => {
                    wheel.disarm(&mut table, slot);
                    armed[slot as usize] = None;
                }
                _ => {
                    wheel.arm(&mut table, slot, Tick(now + delay));
                    armed[slot as usize] = Some(now + delay);
                }
            }
            let first = armed.iter().flatten().min();
            match (wheel.next(), first) {
                (Some(next), Some(&first)) =>
                    prop_assert!(next.0 <= first + (1 << TICK_SHIFT), "{next:?} {first}"),
                (next, first) => prop_assert_eq!(next.is_some(), first.is_some()),
            }
            now += advance >> (action * 7);
            for slot in expire(&mut wheel, &mut table, now) {
                let due = armed[slot as usize].take();
                prop_assert!(due.is_some_and(|due| due <= now), "early: {due:?} at {now}");
            }
            for due in armed.iter().flatten() {
                prop_assert!(due + (2 << TICK_SHIFT) > now, "late: {due} at {now}");
            }
        }
    }
}
