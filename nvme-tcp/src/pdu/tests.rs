//! What holds for every PDU, and the errors of single fields.

use proptest::array::uniform;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn layouts() -> impl Strategy<Value = Layout> {
    (any::<bool>(), any::<bool>(), 0..32u8).prop_map(|(header_digest, data_digest, alignment)| Layout {
        header_digest,
        data_digest,
        alignment,
    })
}

fn sqes() -> impl Strategy<Value = [u8; 64]> {
    vec(any::<u8>(), 64).prop_map(|bytes| bytes.try_into().unwrap())
}

fn data_pdus(ours: bool) -> impl Strategy<Value = DataPdu> {
    let fields = (any::<u16>(), any::<u16>(), any::<u32>(), any::<bool>(), any::<bool>());
    (fields, vec(any::<u8>(), 0..600)).prop_map(move |((cccid, ttag, datao, last, success), data)| DataPdu {
        cccid,
        ttag: if ours { ttag } else { 0 },
        datao,
        data,
        last,
        success: success && last && !ours,
    })
}

fn terms() -> impl Strategy<Value = TermReq> {
    (any::<u16>(), any::<u32>(), vec(any::<u8>(), 0..=128)).prop_map(|(fes, fei, data)| TermReq {
        fes,
        fei,
        data,
    })
}

fn pdus() -> impl Strategy<Value = Pdu> {
    prop_oneof![
        (any::<u16>(), 0..32u8, any::<u8>(), any::<u32>())
            .prop_map(|(pfv, hpda, dgst, maxr2t)| Pdu::ICReq(ICReq { pfv, hpda, dgst, maxr2t })),
        (any::<u16>(), 0..32u8, any::<u8>(), 1024..u32::MAX / 4).prop_map(|(pfv, cpda, dgst, dwords)| {
            Pdu::ICResp(ICResp { pfv, cpda, dgst, maxh2cdata: dwords * 4 })
        }),
        terms().prop_map(Pdu::H2CTermReq),
        terms().prop_map(Pdu::C2HTermReq),
        (sqes(), vec(any::<u8>(), 0..600)).prop_map(|(sqe, data)| Pdu::CapsuleCmd(CapsuleCmd { sqe, data })),
        uniform::<_, 16>(any::<u8>()).prop_map(|cqe| Pdu::CapsuleResp(CapsuleResp { cqe })),
        data_pdus(true).prop_map(Pdu::H2CData),
        data_pdus(false).prop_map(Pdu::C2HData),
        (any::<u16>(), any::<u16>(), any::<u32>(), any::<u32>())
            .prop_map(|(cccid, ttag, r2to, r2tl)| Pdu::R2T(R2T { cccid, ttag, r2to, r2tl })),
    ]
}

proptest! {
    #[test]
    fn what_is_built_is_parsed(pdu in pdus(), layout in layouts()) {
        let bytes = pdu.to_bytes(&layout);
        prop_assert_eq!(Pdu::parse(&bytes, &layout), Ok(pdu));
    }

    #[test]
    fn any_bytes_parse_or_fail(bytes in vec(any::<u8>(), 0..300), layout in layouts()) {
        let _ = Pdu::parse(&bytes, &layout);
    }

    /// Close to right, where the deep branches are: the length is made to fit, so that other fields decide.
    #[test]
    fn damaged_pdus_parse_or_fail(
        pdu in pdus(),
        layout in layouts(),
        damage in vec((0..160usize, any::<u8>()), 1..4),
        cut in 0..40usize,
    ) {
        let mut bytes = pdu.to_bytes(&layout);
        for (at, value) in damage {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        bytes.truncate(bytes.len().saturating_sub(cut).max(8));
        let length = u32::try_from(bytes.len()).unwrap();
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        let _ = Pdu::parse(&bytes, &layout);
    }

    /// A single flipped bit in what a digest covers, or in the digest, never goes unnoticed.
    #[test]
    fn digests_find_flipped_bits(pdu in pdus(), bit in any::<proptest::sample::Index>(), alignment in 0..32u8) {
        let layout = Layout { header_digest: true, data_digest: true, alignment };
        let frame = pdu.frame(&layout);
        prop_assume!(frame.header_digest == Digest::Right);
        let mut bytes = frame.to_bytes();
        let header = usize::from(frame.hlen) + 4;
        let data = usize::from(frame.pdo).max(header);
        let covered: Vec<usize> = (0..header).chain(data..bytes.len()).collect();
        let bit = bit.index(covered.len() * 8);
        bytes[covered[bit / 8]] ^= 1 << (bit % 8);
        prop_assert!(Pdu::parse(&bytes, &layout).is_err());
    }
}

fn complaint(bytes: &[u8], layout: &Layout) -> (&'static str, u64, String) {
    let error = Pdu::parse(bytes, layout).unwrap_err();
    (error.field, error.value, error.to_string())
}

#[test]
fn errors_name_field_value_expectation_and_section() {
    let plain = Layout::default();
    let write = Pdu::CapsuleCmd(CapsuleCmd { sqe: [7; 64], data: vec![1; 8] });
    let with = |change: fn(&mut Frame)| {
        let mut frame = write.frame(&plain);
        change(&mut frame);
        frame.to_bytes()
    };
    let (field, value, text) = complaint(&with(|frame| frame.hlen = 73), &plain);
    assert_eq!((field, value), ("HLEN", 73));
    assert_eq!(
        text,
        "CapsuleCmd: HLEN is 0x49, expected 0x48 (NVMe/TCP, \"Command Capsule PDU (CapsuleCmd)\")"
    );
    for (change, expected) in [
        ((|frame| frame.pdu_type = 8) as fn(&mut Frame), ("PDU-Type", 8)),
        (|frame| frame.plen += 1, ("PLEN", 81)),
        (|frame| frame.flags = flag::LAST, ("FLAGS", 4)),
        (|frame| frame.flags = flag::HEADER_DIGEST, ("FLAGS.HDGSTF", 1)),
        (|frame| frame.flags = flag::DATA_DIGEST, ("FLAGS.DDGSTF", 1)),
        (|frame| frame.pdo = 68, ("PDO", 68)),
        (|frame| frame.pdo = 73, ("PDO", 73)),
        (|frame| frame.pdo = 200, ("PDO", 200)),
    ] {
        let (field, value, _) = complaint(&with(change), &plain);
        assert_eq!((field, value), expected);
    }
}

#[test]
fn wrong_digests_are_told_apart() {
    let both = Layout { header_digest: true, data_digest: true, alignment: 0 };
    let data = Pdu::C2HData(DataPdu { data: vec![5; 512], last: true, ..Default::default() });
    let mut frame = data.frame(&both);
    frame.header_digest = Digest::Wrong;
    assert_eq!(complaint(&frame.to_bytes(), &both).0, "HDGST");
    frame.header_digest = Digest::Right;
    frame.data_digest = Digest::Value(0);
    assert_eq!(complaint(&frame.to_bytes(), &both).0, "DDGST");
    // One that is missing takes its bytes along.
    frame.data_digest = Digest::Absent;
    assert_eq!(complaint(&frame.to_bytes(), &both).0, "PLEN");
}

#[test]
fn padding_is_between_header_and_data() {
    let layout = Layout { alignment: 31, header_digest: true, ..Default::default() };
    let frame = Pdu::CapsuleCmd(CapsuleCmd { sqe: [0; 64], data: vec![1; 4] }).frame(&layout);
    assert_eq!((frame.pdo, frame.plen, frame.padding.len()), (128, 132, 128 - 76));
    assert_eq!(frame.to_bytes().len(), 132);
}

#[test]
fn known_bytes_of_an_icreq() {
    let request = Pdu::ICReq(ICReq { pfv: 0, hpda: 3, dgst: 1, maxr2t: 0x0102 });
    let bytes = request.to_bytes(&Layout { header_digest: true, data_digest: true, alignment: 7 });
    assert_eq!(bytes.len(), 128);
    assert_eq!(bytes[..16], [0, 0, 128, 0, 128, 0, 0, 0, 0, 0, 3, 1, 2, 1, 0, 0]);
}

#[test]
fn maxh2cdata_is_a_multiple_of_four_and_may_be_small() {
    let icresp =
        |maxh2cdata| Pdu::ICResp(ICResp { maxh2cdata, ..Default::default() }).to_bytes(&Layout::default());
    assert!(Pdu::parse(&icresp(512), &Layout::default()).is_ok());
    for wrong in [0, 4098] {
        assert_eq!(complaint(&icresp(wrong), &Layout::default()).0, "MAXH2CDATA");
    }
}
