use nvme_spdk::*;
#[test]
fn hello() {
    let t0 = std::time::Instant::now();
    let target = Target::start().unwrap();
    println!("target {:?}", t0.elapsed());
    let c = Controller::connect(target.address(), ConnectOptions::new()).unwrap();
    println!("connect {:?} {:?} queues {}", t0.elapsed(), c, c.max_io_queues());
    let ns = c.namespace(1).unwrap();
    println!("{ns:?}");
    let qp = c.create_qpair(64).unwrap();
    println!("qpair {:?}", t0.elapsed());
    let b = DmaBuf::new(4096).unwrap();
    b.write(0, b"hello world");
    ns.write(&qp, &b, 0, 8).unwrap();
    b.fill(0..4096, 0);
    let done = ns.read(&qp, &b, 0, 8).unwrap();
    println!("{:?} {:?}", done.completion, done.latency());
    assert_eq!(b.to_vec(0..11), b"hello world");
    for e in c.cmdlog().newest(100).iter().rev() { println!("{} -> {:?}", e.describe_command(0), e.completed); }
    for e in qp.cmdlog().newest(100).iter().rev() { println!("{} -> {:?}", e.describe_command(1), e.completed); }
}
