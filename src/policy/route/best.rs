//! The lowest of many words, in order. Scores are drawn by chance, so a branch on them is a wrong guess half
//! of the time: up to sixteen words go through a network of exchanges without any.
//!
//! Deliberately absent: what the words mean.

/// How many are kept.
pub(super) const MOST: usize = 16;

/// Puts the lower of two words first.
macro_rules! exchange {
    ($words:ident: $(($a:literal, $b:literal))*) => {
        $({
            let (one, other) = ($words[$a], $words[$b]);
            $words[$a] = if one < other { one } else { other };
            $words[$b] = if one < other { other } else { one };
        })*
    };
}

/// Sorts the lowest `wanted` (at most [`MOST`]) of the first `count` words to the front and says how many
/// there are. Behind `count` there must be nothing but `u64::MAX`.
pub(super) fn lowest<const N: usize>(words: &mut [u64; N], count: usize, wanted: usize) -> usize {
    let wanted = wanted.min(MOST);
    debug_assert!(count <= N && words[count..].iter().all(|word| *word == u64::MAX));
    if count > MOST {
        words[..count].select_nth_unstable(MOST - 1);
    }
    if let Some(few) = words.first_chunk_mut::<4>()
        && count <= few.len()
    {
        sort_4(few);
    } else if let Some(many) = words.first_chunk_mut::<MOST>() {
        sort_16(many);
    } else {
        words[..count].sort_unstable();
    }
    count.min(wanted)
}

fn sort_4(words: &mut [u64; 4]) {
    exchange!(words: (0, 1) (2, 3) (0, 2) (1, 3) (1, 2));
}

/// Green's network of 60 exchanges (Knuth, The Art of Computer Programming 3, §5.3.4), in the order of ten
/// layers that Dobbelaere lists.
fn sort_16(words: &mut [u64; MOST]) {
    exchange!(words: (0, 13) (1, 12) (2, 15) (3, 14) (4, 8) (5, 6) (7, 11) (9, 10));
    exchange!(words: (0, 5) (1, 7) (2, 9) (3, 4) (6, 13) (8, 14) (10, 15) (11, 12));
    exchange!(words: (0, 1) (2, 3) (4, 5) (6, 8) (7, 9) (10, 11) (12, 13) (14, 15));
    exchange!(words: (0, 2) (1, 3) (4, 10) (5, 11) (6, 7) (8, 9) (12, 14) (13, 15));
    exchange!(words: (1, 2) (3, 12) (4, 6) (5, 7) (8, 10) (9, 11) (13, 14));
    exchange!(words: (1, 4) (2, 6) (5, 8) (7, 10) (9, 13) (11, 14));
    exchange!(words: (2, 4) (3, 6) (9, 12) (11, 13));
    exchange!(words: (3, 5) (6, 8) (7, 9) (10, 12));
    exchange!(words: (3, 4) (5, 6) (7, 8) (9, 10) (11, 12));
    exchange!(words: (6, 7) (8, 9));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network sorts everything if it sorts all zeros and ones (Knuth, §5.3.4, theorem Z).
    #[test]
    fn the_networks_sort_all_zeros_and_ones() {
        for bits in 0..1_u32 << MOST {
            let mut words: [u64; MOST] = core::array::from_fn(|at| u64::from(bits >> at & 1));
            sort_16(&mut words);
            assert!(words.is_sorted(), "{bits:b}");
        }
        for bits in 0..1_u32 << 4 {
            let mut words: [u64; 4] = core::array::from_fn(|at| u64::from(bits >> at & 1));
            sort_4(&mut words);
            assert!(words.is_sorted(), "{bits:b}");
        }
    }

    fn check<const N: usize>() {
        let mut next = 7_u64;
        for count in 0..=N {
            for wanted in [1, 3, MOST, MOST + 5] {
                let mut words = [u64::MAX; N];
                words[..count].fill_with(|| {
                    next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    next >> 40
                });
                let mut want = words[..count].to_vec();
                want.sort_unstable();
                want.truncate(wanted.min(MOST));
                let kept = lowest(&mut words, count, wanted);
                assert_eq!(words[..kept], want, "{count} of {N}");
            }
        }
    }

    #[test]
    fn the_lowest_come_first() {
        check::<1>();
        check::<4>();
        check::<7>();
        check::<16>();
        check::<64>();
    }
}
