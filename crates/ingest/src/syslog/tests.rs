//! Is each message taken apart as its sender meant it, and is each told from the next?

use std::borrow::Cow;

use causeway_model::Rng;
use chrono::DateTime;
use proptest::prelude::*;

use super::*;
use crate::lines::tests::{RECEIVED, told as rows_of};

fn at(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).unwrap().timestamp_nanos_opt().unwrap()
}

/// The middle of 2026.
fn now() -> i64 {
    at("2026-07-01T00:00:00Z")
}

/// A message in one line: `facility.severity time host app[pid] id {data} text`, `-` for what is absent.
fn told(text: &str) -> String {
    let message = read(text, now());
    let or = |field: Option<&str>| field.unwrap_or("-").to_owned();
    let priority =
        message.priority.map_or("-".to_owned(), |priority| format!("{}.{}", priority.facility, priority.severity));
    let time = message.time_unix_nano.map_or("-".to_owned(), |nanos| {
        DateTime::from_timestamp_nanos(nanos).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
    });
    let data: Vec<String> =
        message.structured_data.iter().map(|each| format!("{}.{}={}", each.element, each.name, each.value)).collect();
    format!(
        "{priority} {time} {} {}[{}] {} {{{}}} {}",
        or(message.host),
        or(message.app_name),
        or(message.process_id),
        or(message.message_id),
        data.join(","),
        message.text
    )
}

#[test]
fn the_standard_is_read() {
    for (text, expected) in [
        // The examples of RFC 5424, section 6.5.
        (
            "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed for lonvick on /dev/pts/8",
            "4.2 2003-10-11T22:14:15.003Z mymachine.example.com su[-] ID47 {} 'su root' failed for lonvick on /dev/pts/8",
        ),
        (
            "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.",
            "20.5 2003-08-24T12:14:15.000003Z 192.0.2.1 myproc[8710] - {} %% It's time to make the do-nuts.",
        ),
        (
            "<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [exampleSDID@32473 iut=\"3\" eventSource=\"Application\"] An event",
            "20.5 2003-10-11T22:14:15.003Z h evntslog[-] ID47 {exampleSDID@32473.iut=3,exampleSDID@32473.eventSource=Application} An event",
        ),
        (
            "<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [a@1 b=\"c\"][d@2 e=\"f\"]",
            "20.5 2003-10-11T22:14:15.003Z h evntslog[-] ID47 {a@1.b=c,d@2.e=f} ",
        ),
        // Escapes, an element without parameters, a value with a bracket and a newline.
        ("<13>1 - - - - - [x k=\"a\\\"b\\\\c\\]d\\ne]f\n\"][y] t", "1.5 - - -[-] - {x.k=a\"b\\c]d\\ne]f\n,y.=} t"),
        ("<0>1 - - - - - -", "0.0 - - -[-] - {} "),
        // What util-linux' logger sends.
        (
            "<13>1 2026-06-30T12:00:00.5+02:00 box root 12 - [timeQuality tzKnown=\"1\" isSynced=\"0\"] hi",
            "1.5 2026-06-30T10:00:00.500Z box root[12] - {timeQuality.tzKnown=1,timeQuality.isSynced=0} hi",
        ),
        (
            "<13>1 2026-06-29T15:51:33.795620+00:00 vm app - M1 [timeQuality tzKnown=\"1\"][x@1 a=\"b\"] sd",
            "1.5 2026-06-29T15:51:33.795620Z vm app[-] M1 {timeQuality.tzKnown=1,x@1.a=b} sd",
        ),
        // What rsyslog 8.2302 forwards, with what it makes of a newline.
        (
            "<11>1 2026-06-29T15:51:33.785769+00:00 vm app 18421 - -  two#012lines",
            "1.3 2026-06-29T15:51:33.785769Z vm app[18421] - {} two#012lines",
        ),
        // Broken structured data is text.
        ("<13>1 - h a p m [x k=\"v] t", "1.5 - h a[p] m {} [x k=\"v] t"),
        ("<13>1 - h a p m text alone", "1.5 - h a[p] m {} text alone"),
        // Not a header of the standard: read as the older RFC.
        ("<13>1 message", "1.5 - - -[-] - {} 1 message"),
        ("<13>2 - h a p m - t", "1.5 - - -[-] - {} 2 - h a p m - t"),
    ] {
        assert_eq!(told(text), expected, "{text}");
    }
}

#[test]
fn what_is_sent_for_the_older_rfc_is_read() {
    for (text, expected) in [
        (
            "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
            "4.2 2026-10-11T22:14:15Z mymachine su[-] - {} 'su root' failed for lonvick on /dev/pts/8",
        ),
        ("<30>Jan  5 01:02:03 web1 nginx[77]: GET /", "3.6 2026-01-05T01:02:03Z web1 nginx[77] - {} GET /"),
        // rsyslog's with time and zone at length, and a tag with a slash.
        (
            "<22>2026-06-30T23:59:59.123456+02:00 mx postfix/smtpd[9]: connect",
            "2.6 2026-06-30T21:59:59.123456Z mx postfix/smtpd[9] - {} connect",
        ),
        ("<13>2026-06-30 10:00:00,25 mx app: x", "1.5 2026-06-30T10:00:00.250Z mx app[-] - {} x"),
        ("<13>2026-06-30T10:00:00+0130 mx app: x", "1.5 2026-06-30T08:30:00Z mx app[-] - {} x"),
        (
            "<13>2026-06-29T15:51:33.787738+00:00 vm app: {\"level\":\"warn\"}",
            "1.5 2026-06-29T15:51:33.787738Z vm app[-] - {} {\"level\":\"warn\"}",
        ),
        ("<13>Jun 29 15:51:33 vm app[18426]: udp 3164", "1.5 2026-06-29T15:51:33Z vm app[18426] - {} udp 3164"),
        // /dev/log: no host.
        ("<13>Oct 11 22:14:15 root: hi", "1.5 2026-10-11T22:14:15Z - root[-] - {} hi"),
        ("<30>Oct 11 22:14:15 systemd[1]: Started x.", "3.6 2026-10-11T22:14:15Z - systemd[1] - {} Started x."),
        // No tag, no time, no priority, nothing.
        (
            "<13>Oct 11 22:14:15 h last message repeated 2 times",
            "1.5 2026-10-11T22:14:15Z h -[-] - {} last message repeated 2 times",
        ),
        ("<13>app[5]: hi", "1.5 - - app[5] - {} hi"),
        ("<13>hello world", "1.5 - - -[-] - {} hello world"),
        ("Use the BFG!", "- - - -[-] - {} Use the BFG!"),
        ("<192>x", "- - - -[-] - {} <192>x"),
        ("<>x", "- - - -[-] - {} <>x"),
        ("<13>", "1.5 - - -[-] - {} "),
        ("", "- - - -[-] - {} "),
        // No tags.
        ("<13>{\"a\": 1}", "1.5 - - -[-] - {} {\"a\": 1}"),
        ("<13>http://x/y", "1.5 - - -[-] - {} http://x/y"),
        ("<13>Oct 11 22:14:15 h 12: x", "1.5 2026-10-11T22:14:15Z h -[-] - {} 12: x"),
        ("<13>Oct 11 22:14:15 fe80::1 a: x", "1.5 2026-10-11T22:14:15Z fe80::1 a[-] - {} x"),
        ("<6>Oct 11 22:14:15 h kernel: [ 12.3] usb", "0.6 2026-10-11T22:14:15Z h kernel[-] - {} [ 12.3] usb"),
        // Cisco's.
        (
            "<189>123: *Mar  1 18:46:11.123 UTC: %SYS-5-CONFIG_I: Configured",
            "23.5 2026-03-01T18:46:11.123Z - -[-] SYS-5-CONFIG_I {} %SYS-5-CONFIG_I: Configured",
        ),
        (
            "<189>45: sw1: Mar  1 2025 18:46:11: %LINK-3-UPDOWN: up",
            "23.5 2025-03-01T18:46:11Z sw1 -[-] LINK-3-UPDOWN {} %LINK-3-UPDOWN: up",
        ),
        (
            "<166>Oct 10 2018 12:34:56 asa : %ASA-6-305011: Built",
            "20.6 2018-10-10T12:34:56Z asa -[-] ASA-6-305011 {} %ASA-6-305011: Built",
        ),
        ("<189>: 2018 Oct  1 09:05:00 UTC: %VSHD-5-X: y", "23.5 2018-10-01T09:05:00Z - -[-] VSHD-5-X {} %VSHD-5-X: y"),
    ] {
        assert_eq!(told(text), expected, "{text}");
    }
}

#[test]
fn the_year_is_the_one_next_to_the_arrival() {
    let read = |text, arrival| read(text, at(arrival)).time_unix_nano.map(DateTime::from_timestamp_nanos);
    let year = |text, arrival| read(text, arrival).map(|time| time.to_rfc3339());
    let expected = |text: &str| Some(text.to_owned());
    assert_eq!(year("<1>Dec 31 23:59:58 h a: x", "2027-01-01T00:00:01Z"), expected("2026-12-31T23:59:58+00:00"));
    assert_eq!(year("<1>Jan  1 00:00:01 h a: x", "2026-12-31T23:59:59Z"), expected("2027-01-01T00:00:01+00:00"));
    assert_eq!(year("<1>Feb 29 00:00:00 h a: x", "2027-06-01T00:00:00Z"), expected("2028-02-29T00:00:00+00:00"));
    assert_eq!(year("<1>Feb 30 00:00:00 h a: x", "2027-03-01T00:00:00Z"), None);
    assert_eq!(
        year("<1>Jun 30 23:59:60 h a: x", "2027-07-01T00:00:00Z"),
        expected("2027-06-30T23:59:59.999999999+00:00")
    );
}

#[test]
fn parameters_beyond_the_limit_are_counted() {
    let many: String = (0..structured::PARAMETERS_MAX + 3).map(|number| format!(" k{number}=\"v\"")).collect();
    let text = format!("<1>1 - - - - - [x{many}] t");
    let message = read(&text, now());
    assert_eq!((message.structured_data.len(), message.parameters_dropped), (structured::PARAMETERS_MAX, 3));
    assert_eq!((message.structured_data[0].value.clone(), message.text), (Cow::Borrowed("v"), "t"));
}

/// What a framer makes of pieces.
fn framed(pieces: &[&[u8]]) -> Vec<(String, bool)> {
    let (mut framer, mut found) = (Framer::default(), Vec::new());
    let mut keep = |message: &[u8], is_cut: bool| found.push((String::from_utf8_lossy(message).into_owned(), is_cut));
    for piece in pieces {
        framer.feed(piece, &mut keep);
    }
    framer.finish(&mut keep);
    found
}

#[test]
fn counts_and_newlines_are_told_apart_message_by_message() {
    let whole = |messages: &[&str]| messages.iter().map(|text| ((*text).to_owned(), false)).collect::<Vec<_>>();
    let stream = b"5 <1>ab6 <2>c\nd<3>line\r\n\n\0\n12 monkeys\n7 <4>last\n<5>end";
    assert_eq!(framed(&[stream]), whole(&["<1>ab", "<2>c\nd", "<3>line", "12 monkeys", "<4>last", "<5>end"]));
    let bytewise: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(framed(&bytewise), framed(&[stream]));
    // A counted message that ends too early, a count that is none.
    assert_eq!(framed(&[b"9 <1>ab"]), [("<1>ab".to_owned(), true)]);
    assert_eq!(framed(&[b"12345678 <1>a\n0 <1>b\n"]), whole(&["12345678 <1>a", "0 <1>b"]));
    assert_eq!(framed(&[b"12"]), whole(&["12"]));
    assert_eq!(framed(&[b"<1>a\0<2>b\0", b"4 <3>c\0<4>", b"d\r\n\0"]), whole(&["<1>a", "<2>b", "<3>c", "<4>d"]));
}

#[test]
fn long_messages_are_cut_and_the_next_is_whole() {
    let long = "x".repeat(MESSAGE_BYTES_MAX + 10);
    for stream in [format!("<1>{long}\n<2>y\n"), format!("{} <1>{long}<2>y\n", long.len() + 3)] {
        let found = framed(&[stream.as_bytes()]);
        assert_eq!(
            found.iter().map(|(text, is_cut)| (text.len(), *is_cut)).collect::<Vec<_>>(),
            [(MESSAGE_BYTES_MAX, true), (4, false)]
        );
    }
}

/// The row of a message, a column or attribute a line.
fn row(text: &str) -> Vec<String> {
    let mut rows = SyslogRows::new(RECEIVED);
    rows.push(text.as_bytes(), "10.0.0.1").unwrap();
    assert_eq!((rows.len(), rows.is_empty(), rows.bytes()), (1, false, text.len() + ROW_BYTES));
    rows_of(&rows.finish().unwrap()).remove(0)
}

#[test]
fn a_message_becomes_a_row_by_opentelemetrys_mapping() {
    assert_eq!(
        row("<165>1 2023-11-14T22:13:19Z h app 87 ID1 [origin ip=\"a\" ip=\"b\\\"\" ip=\"c\" x=\"1\"][y] hi"),
        [
            "attr.syslog.facility.code=20",
            "attr.syslog.msg.id=ID1",
            "attr.syslog.procid=87",
            "attr.syslog.severity.code=5",
            "attr.syslog.structured_data.origin.ip=[\"a\",\"b\\\"\",\"c\"]",
            "attr.syslog.structured_data.origin.x=1",
            "attr.syslog.structured_data.y=",
            "body=hi",
            "resource.host.name=h",
            "resource.service.name=app",
            "service_name=app",
            "severity_number=10",
            "severity_text=notice",
            "time=1699999999000000000",
        ]
    );
    // Nothing is known but where it came from.
    assert_eq!(row("hello"), ["body=hello", "resource.host.name=10.0.0.1"]);
}

#[test]
fn a_message_that_is_json_becomes_fields() {
    for cookie in ["", "@cee: ", "@cee:"] {
        let text = format!("<14>Nov 14 22:13:19 h app: {cookie}{{\"level\":\"error\",\"msg\":\"no\",\"user\":7}}");
        assert_eq!(
            row(&text),
            [
                "attr.syslog.facility.code=1",
                "attr.syslog.severity.code=6",
                "attr.user=7",
                "body=no",
                "resource.host.name=h",
                "resource.service.name=app",
                "service_name=app",
                "severity_number=17",
                "severity_text=error",
                "time=1699999999000000000",
            ]
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Any text is read, and none of it but what was understood is lost.
    #[test]
    fn any_text_is_read(text in "(<[0-9]{0,4}>)?(1 )?(- |2026-01-01T00:00:00Z |Oct 11 22:14:15 )?\\PC{0,60}", nanos: i64) {
        let message = read(&text, nanos);
        prop_assert!(text.ends_with(message.text));
    }

    /// However messages are framed and cut into pieces, they come out as they went in.
    #[test]
    fn framing_is_undone(messages in prop::collection::vec("<[0-9]{1,3}>[a-z0-9 ]{1,20}x", 1..20), seed: u64) {
        let mut random = Rng::from_seed(seed);
        let mut stream = Vec::new();
        for message in &messages {
            let framed = if random.below(2) == 0 { format!("{message}\n") } else { format!("{} {message}", message.len()) };
            stream.extend_from_slice(framed.as_bytes());
        }
        let mut pieces: Vec<&[u8]> = Vec::new();
        let mut rest = stream.as_slice();
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(1 + usize::try_from(random.below(rest.len() as u64)).unwrap());
            pieces.push(piece);
            rest = behind;
        }
        let found: Vec<String> = framed(&pieces).into_iter().map(|(text, _)| text).collect();
        prop_assert_eq!(found, messages);
    }
}
