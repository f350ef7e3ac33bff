use proptest::prelude::*;
use rand_xoshiro::rand_core::Rng;

use super::*;

fn ios(workload: &Workload, blocks: u64, count: usize) -> Vec<Io> {
    let mut generator = Generator::new(workload, blocks, None).unwrap();
    (0..count).map(|_| generator.next()).collect()
}

fn places(workload: &Workload, blocks: u64, count: usize) -> Vec<(u64, u32)> {
    ios(workload, blocks, count).iter().map(|io| (io.lba, io.blocks)).collect()
}

fn sequential() -> Workload {
    Workload::new().random_percentage(0)
}

#[test]
fn sequential_commands_wrap_and_the_last_is_cut() {
    let workload = sequential().io_size(8).region(0..20);
    assert_eq!(places(&workload, 1000, 4), [(0, 8), (8, 8), (16, 4), (0, 8)]);
}

#[test]
fn a_start_behind_the_region_is_its_start() {
    let workload = sequential().region(10..20).start_at(25).io_size(1);
    assert_eq!(places(&workload, 1000, 1), [(10, 1)]);
}

#[test]
fn steps_go_anywhere() {
    let from = |start, step| places(&sequential().io_size(8).start_at(start).step(step), 1000, 4);
    assert_eq!(from(0, 2), [(0, 8), (2, 8), (4, 8), (6, 8)]);
    assert_eq!(from(10, 0), [(10, 8); 4]);
    assert_eq!(from(100, -4), [(100, 8), (96, 8), (92, 8), (88, 8)]);
    // Below block 0 the region begins again; its start is no bound.
    let workload = sequential().io_size(1).region(5..1000).start_at(7).step(-3);
    assert_eq!(places(&workload, 1000, 5), [(7, 1), (4, 1), (1, 1), (5, 1), (2, 1)]);
}

#[test]
fn alignment_rounds_up_and_at_the_end_down() {
    let workload = sequential().io_sizes([IoSize::new(8).align(16)]).region(10..50);
    assert_eq!(places(&workload, 1000, 4), [(16, 8), (32, 8), (48, 2), (16, 8)]);
    let workload = sequential().io_sizes([IoSize::new(3).align(4)]).region(0..11);
    assert_eq!(places(&workload, 1000, 4), [(0, 3), (4, 3), (8, 3), (0, 3)]);
    // Where the smaller alignment has no multiple left, the command still stays inside.
    let workload = Workload::new().io_sizes([IoSize::new(1).align(3), IoSize::new(1).align(8)]).region(8..9);
    assert!(places(&workload, 1000, 50).iter().all(|place| *place == (8, 1)));
}

#[test]
fn a_region_without_room_is_refused() {
    let aligned = Workload::new().io_sizes([IoSize::new(1).align(64)]).region(65..128);
    for workload in [Workload::new().region(100..200), aligned] {
        let error = Generator::new(&workload, 100, None).err().unwrap();
        assert!(error.to_string().contains("region"), "{error}");
    }
}

#[test]
fn a_region_of_one_block() {
    let workload = Workload::new().io_size(8).region(7..8);
    assert_eq!(places(&workload, 1000, 3), [(7, 1); 3]);
}

#[test]
#[cfg_attr(miri, ignore = "thousands of samples, all of safe code")]
fn shares_are_kept() {
    let workload = Workload::new()
        .operations([(2, 30), (1, 70)])
        .random_percentage(20)
        .io_sizes([IoSize::new(1).weight(75), IoSize::new(8).weight(25)]);
    let ios = ios(&workload, 1 << 30, 20_000);
    let share =
        |test: &dyn Fn(&Io) -> bool| ios.iter().filter(|io| test(io)).count() as f64 / ios.len() as f64;
    let reads = share(&|io| io.opcode == 2);
    assert!((reads - 0.3).abs() < 0.02, "{reads}");
    let small = share(&|io| io.blocks == 1);
    assert!((small - 0.75).abs() < 0.02, "{small}");
    // Sequential ones stay near the start of so large a namespace.
    let random = share(&|io| io.lba > 1 << 20);
    assert!((random - 0.2).abs() < 0.02, "{random}");
}

#[test]
#[cfg_attr(miri, ignore = "thousands of samples, all of safe code")]
fn sections_get_their_shares() {
    let weights = [1000, 0, 3000, 6000];
    let ios = ios(&Workload::new().distribution(weights).io_size(1), 1003, 20_000);
    for (section, weight) in weights.into_iter().enumerate() {
        let (first, last) =
            (section as u64 * 250, if section == 3 { 1003 } else { section as u64 * 250 + 250 });
        let found = ios.iter().filter(|io| (first..last).contains(&io.lba)).count() as f64 / 20_000.0;
        assert!((found - f64::from(weight) / 10_000.0).abs() < 0.02, "section {section}: {found}");
    }
    assert!(ios.iter().any(|io| io.lba >= 1000), "the last section has the rest");
}

#[test]
fn uncorrectable_blocks_are_left_out() {
    let table = |blocks: u64, bad: Range<u64>| {
        let table = Table::new(blocks, 512).unwrap();
        table.uncorrectable(bad.start, bad.end - bad.start);
        Some(Arc::new(table))
    };
    let lbas = |workload: Workload, table| {
        let mut generator = Generator::new(&workload, 1000, table).unwrap();
        (0..4).map(|_| generator.next().lba).collect::<Vec<_>>()
    };
    assert_eq!(lbas(sequential().io_size(1).start_at(2), table(1000, 4..100)), [2, 3, 100, 101]);
    // Only where a command begins.
    assert_eq!(lbas(sequential().io_size(8), table(1000, 4..10)), [0, 10, 18, 26]);
    // The search ends with the region or the table.
    assert_eq!(lbas(sequential().io_size(1).region(0..100), table(1000, 0..200)), [0, 0, 0, 0]);
    assert_eq!(lbas(sequential().io_size(1), table(50, 0..50)), [50, 51, 52, 53]);
}

/// The same workload, as slow and obvious as can be: every block is looked at, and everything is an i128.
struct Model {
    rng: Xoshiro256PlusPlus,
    workload: Workload,
    blocks: i128,
    cursor: Option<i128>,
}

impl Model {
    fn draw(&mut self, limit: i128) -> i128 {
        (i128::from(self.rng.next_u64()) * limit) >> 64
    }

    fn pick(&mut self, weights: &[u32]) -> usize {
        let tickets: Vec<usize> =
            weights.iter().enumerate().flat_map(|(at, weight)| vec![at; *weight as usize]).collect();
        if weights.len() < 2 { 0 } else { tickets[self.draw(tickets.len() as i128) as usize] }
    }

    fn next(&mut self) -> Io {
        let w = self.workload.clone();
        let align = w.sizes.iter().map(|size| i128::from(size.align)).max().unwrap();
        let end = i128::from(w.region.end).min(self.blocks);
        let start = (i128::from(w.region.start)..).find(|lba| lba % align == 0).unwrap();

        let shares: Vec<u32> = w.operations.iter().map(|(_, share)| u32::from(*share)).collect();
        let tickets: Vec<u8> =
            w.operations.iter().zip(&shares).flat_map(|((o, _), n)| vec![*o; *n as usize]).collect();
        let opcode = tickets[self.draw(100) as usize];
        let size = w.sizes[self.pick(&w.sizes.iter().map(|size| size.weight).collect::<Vec<_>>())];
        let blocks = i128::from(size.blocks).min(end - start);
        let random = match w.random_percentage {
            0 => false,
            100 => true,
            percentage => self.draw(100) < i128::from(percentage),
        };
        let mut lba = if random {
            start + self.draw(end - start)
        } else {
            let cursor = self.cursor.unwrap_or(i128::from(w.start).max(start));
            if cursor >= end { start } else { cursor }
        };
        let align = i128::from(size.align);
        let up = (lba..).find(|lba| lba % align == 0).unwrap();
        let down = (0..=lba).rev().find(|lba| lba % align == 0).unwrap();
        lba = if up < end { up } else { down.max(start) };
        if !random {
            let next = lba + w.step.map_or(blocks, i128::from);
            self.cursor = Some(if next < 0 { start } else { next });
        }
        Io { opcode, lba: lba as u64, blocks: (lba..lba + blocks).filter(|lba| *lba < end).count() as u32 }
    }
}

fn workloads() -> impl Strategy<Value = (Workload, u64)> {
    let sizes = prop::collection::vec((1_u32..100, 1_u32..20, 1_u32..5), 1..4);
    let step = prop::option::of(-50_i64..50);
    let places = (0_u64..1000, 1_u64..1000, 0_u64..2500, 1_u64..2000);
    (sizes, step, 0_u8..=100, places, 0_u8..=100, any::<u64>()).prop_map(
        |(sizes, step, random, (start, len, first, blocks), reads, seed)| {
            let sizes = sizes
                .into_iter()
                .map(|(blocks, align, weight)| IoSize::new(blocks).align(align).weight(weight));
            let mut workload = Workload::new()
                .io_sizes(sizes)
                .random_percentage(random)
                .region(start..start + len)
                .start_at(first)
                .read_percentage(reads)
                .seed(seed);
            workload.step = step;
            (workload, blocks)
        },
    )
}

proptest! {
    #[test]
    #[cfg_attr(miri, ignore = "a slow model, all of safe code")]
    fn as_the_model((workload, blocks) in workloads()) {
        let Ok(mut generator) = Generator::new(&workload, blocks, None) else { return Ok(()) };
        let rng = Xoshiro256PlusPlus::seed_from_u64(workload.seed);
        let mut model = Model { rng, workload, blocks: i128::from(blocks), cursor: None };
        for _ in 0..100 {
            prop_assert_eq!(generator.next(), model.next());
        }
    }

    #[test]
    fn commands_stay_in_the_region((mut workload, blocks) in workloads()) {
        // Only a negative step leaves it, downwards.
        workload.step = workload.step.map(i64::abs);
        let Ok(mut generator) = Generator::new(&workload, blocks, None) else { return Ok(()) };
        for _ in 0..200 {
            let io = generator.next();
            prop_assert!(io.blocks >= 1 && io.lba >= workload.region.start);
            prop_assert!(io.lba + u64::from(io.blocks) <= workload.region.end.min(blocks));
        }
    }

    #[test]
    fn a_seed_decides_everything(seed: u64) {
        let workload = Workload::new().read_percentage(50).random_percentage(50).seed(seed);
        prop_assert_eq!(ios(&workload, 1 << 30, 100), ios(&workload, 1 << 30, 100));
    }
}
