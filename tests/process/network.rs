//! Interfaces, and networks that know link-local addresses only.

use std::process::Command;

use crate::harness::{Output, Process, in_a_network, ours, run, wait_until};

/// What a script printed in a network of its own, which must end well. `None` where there are none, and `untried` is said so.
#[track_caller]
fn well_ended(script: &str, untried: &str) -> Option<Output> {
    let Some(output) = in_a_network(script) else {
        eprintln!("no namespaces for this user here: {untried}");
        return None;
    };
    assert_eq!(output.code, 0, "{}", output.text());
    Some(output)
}

#[track_caller]
fn says(output: &Output, texts: &[&str]) {
    for text in texts {
        assert!(output.stdout.contains(text), "{text}: {}", output.text());
    }
}

/// Two ends of a cable with link-local addresses and nothing else, an agent at each.
#[test]
fn agents_meet_by_link_local_addresses_with_their_scopes() {
    let script = r#"
        ip link set lo up
        ip link add v0 type veth peer name v1
        for end in 0 1; do
            ip link set v$end addrgenmode none up
            ip address add fe80::$end:1/64 dev v$end nodad
        done
        "$0" agent -node=a -bind='[fe80::0:1%v0]' -rpc-addr="unix:$1/a" >"$1/a.log" &
        "$0" agent -node=b -bind='[fe80::1:1]' -iface=v1 -rpc-addr="unix:$1/b" -retry-join=fe80::0:1%v1 -retry-interval=1s >"$1/b.log" &
        for name in a b; do
            until [ "$("$0" members -status=alive -rpc-addr="unix:$1/$name" | grep -c alive)" = 2 ]; do sleep 0.1; done
        done
        "$0" event -wait -rpc-addr="unix:$1/a" deploy
        ! "$0" join -rpc-addr="unix:$1/a" '[fe80::1:1%lo]' || exit 1
        "$0" members -rpc-addr="unix:$1/a"
        "#;
    let Some(met) = well_ended(script, "link-local addresses are not tried") else { return };
    says(
        &met,
        &[
            "reached 2 of 2 members",
            "another network's link-local address",
            "[fe80::1]:7946",
            "[fe80::1:1]:7946",
        ],
    );
}

#[test]
fn an_interface_gives_the_address_to_listen_at_or_must_have_it() {
    let check = |args: &[&str]| run(ours(), [&["agent", "-check", "-rpc-addr=127.0.0.1:0"], args].concat());
    for args in [["-iface=lo"].as_slice(), &["-iface=lo", "-bind=127.0.0.1"]] {
        let sound = check(args);
        assert_eq!(sound.code, 0, "{args:?}: {}", sound.text());
    }
    for (args, why) in [
        (["-iface=none0"].as_slice(), "Invalid network interface: there is no 'none0'"),
        (
            &["-iface=lo", "-bind=192.0.2.1"],
            "Interface 'lo' has no '192.0.2.1' address for -bind; it has 127.0.0.1",
        ),
        (&["-bind=[fe80::9]"], "fe80::9 is link-local: say of which interface, as -bind=[fe80::9%eth0]"),
    ] {
        let refused = check(args);
        assert!(refused.code == 1 && refused.stdout.contains(why), "{args:?}: {}", refused.text());
    }
    let mut agent = Process::start(Command::new(ours()).args([
        "agent",
        "-iface=lo",
        "-bind=0.0.0.0:0",
        "-rpc-addr=127.0.0.1:0",
    ]));
    wait_until("the banner", || agent.printed().contains("Bind addr: '127.0.0.1:0'"));
    agent.kill();
}

/// Of agents in one network those that look for the same cluster become one.
#[test]
fn agents_find_the_cluster_of_their_name_by_mdns() {
    let script = r#"
        ip link set lo up
        ip link add v0 type veth peer name v1
        ip link set v1 up
        ip link set v0 up
        for n in 1 2 3; do
            ip address add 10.9.0.$n/24 dev v0
            case $n in 3) name=db ;; *) name=web ;; esac
            "$0" agent -node=n$n -bind=10.9.0.$n -rpc-addr="unix:$1/$n" -discover=$name -mdns-iface=v0 &
        done
        for n in 1 2; do
            until [ "$("$0" members -status=alive -rpc-addr="unix:$1/$n" | grep -c alive)" = 2 ]; do sleep 0.1; done
        done
        "$0" members -rpc-addr="unix:$1/3" >"$1/members"
        grep -c alive "$1/members"
        "#;
    let Some(found) = well_ended(script, "mDNS is not tried") else { return };
    assert_eq!(found.stdout.lines().last(), Some("1"), "the other cluster is alone: {}", found.text());
}

/// A lease ends: the machine gets other addresses, and its agents go along, whether they are bound to all or to an interface.
#[test]
fn agents_go_along_when_their_machine_gets_another_address() {
    let script = r#"
        ip link add br0 type bridge
        ip link set br0 up
        ip address add 10.9.0.1/24 dev br0
        "$0" agent -node=a -bind=10.9.0.1 -rpc-addr="unix:$1/a" >"$1/a.log" &
        machine() {
            unshare -n sleep 600 &
            until [ "$(readlink /proc/$!/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.1; done
            ip link add v$1 type veth peer name eth0 netns $!
            ip link set v$1 master br0 up
            eval "in$1='nsenter -n -t $!'"
        }
        machine 2; machine 3
        for n in 2 3; do
            eval "in=\$in$n"
            $in ip link set lo up
            $in ip link set eth0 up
            $in ip address add 10.9.0.$n/24 dev eth0
            $in ip route add default dev eth0
        done
        until [ -S "$1/a" ]; do sleep 0.1; done
        "$0" monitor -rpc-addr="unix:$1/a" >"$1/monitor" &
        $in2 "$0" agent -node=b -rpc-addr="unix:$1/b" -join=10.9.0.1 >"$1/b.log" &
        $in3 "$0" agent -node=c -iface=eth0 -rpc-addr="unix:$1/c" -join=10.9.0.1 >"$1/c.log" &
        shown() { "$0" members -status=alive -rpc-addr="unix:$1" | grep -c "$2"; }
        for name in a b c; do
            until [ "$(shown "$1/$name" '10.9.0.[123]:')" = 3 ]; do sleep 0.1; done
        done
        for n in 2 3; do
            eval "in=\$in$n"
            $in ip address delete 10.9.0.$n/24 dev eth0
            $in ip address add 10.9.0.7$n/24 dev eth0
            $in ip route replace default dev eth0
        done
        for name in a b c; do
            until [ "$(shown "$1/$name" '10.9.0.7[23]:')" = 2 ]; do sleep 0.1; done
        done
        "$0" event -wait -rpc-addr="unix:$1/c" deploy
        grep EventMember "$1/monitor"
        cat "$1/b.log" "$1/c.log"
        "#;
    let Some(moved) = well_ended(script, "machines with other addresses are not tried") else { return };
    says(
        &moved,
        &[
            "reached 3 of 3 members",
            "Others reach this agent at 10.9.0.72:7946 from now on, no longer at 10.9.0.2:7946",
            "Listening at 10.9.0.73:7946 from now on",
        ],
    );
    assert!(!moved.stdout.contains("EventMemberFailed"), "nobody has failed: {}", moved.text());
}

/// The address that an agent chooses is one that others do not reach; they see its datagrams come from another.
#[test]
fn an_agent_learns_where_the_others_see_it() {
    let script = r#"
        ip link set lo up
        ip link add br0 type bridge
        ip link set br0 up
        ip address add 10.9.0.1/24 dev br0
        ip address add 10.9.0.2/24 dev br0
        unshare -n sleep 600 &
        until [ "$(readlink /proc/$!/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.1; done
        ip link add v3 type veth peer name eth0 netns $!
        ip link set v3 master br0 up
        in="nsenter -n -t $!"
        $in ip link set lo up
        $in ip link set eth0 up
        $in ip address add 10.9.0.3/24 dev eth0
        $in ip link add in0 type veth peer name in1
        $in ip link set in0 up
        $in ip link set in1 up
        $in ip address add 10.64.0.1/12 dev in0
        "$0" agent -node=a -bind=10.9.0.1 -rpc-addr="unix:$1/a" >"$1/a.log" &
        "$0" agent -node=b -bind=10.9.0.2 -rpc-addr="unix:$1/b" -retry-join=10.9.0.1 -retry-interval=1s >"$1/b.log" &
        shown() { "$0" members -status=alive -rpc-addr="unix:$1" | grep -c "$2"; }
        until [ "$(shown "$1/b" 'alive')" = 2 ]; do sleep 0.1; done
        $in "$0" agent -node=c -rpc-addr="unix:$1/c" -join=10.9.0.1 -advertise-observed >"$1/c.log" &
        for name in a b c; do
            until [ "$(shown "$1/$name" 'c  *10.9.0.3:7946')" = 1 ]; do sleep 0.1; done
        done
        "$0" event -wait -rpc-addr="unix:$1/c" deploy
        cat "$1/c.log"
        $in "$0" agent -node=d -bind=0.0.0.0:7947 -rpc-addr="unix:$1/d" -join=10.9.0.1:7946 >"$1/d.log" &
        until grep -q 'come from elsewhere than 10.64.0.1:7947' "$1/d.log"; do sleep 0.1; done
        "#;
    let Some(learnt) = well_ended(script, "what others see is not tried") else { return };
    says(
        &learnt,
        &[
            "reached 3 of 3 members",
            "Others reach this agent at 10.9.0.3:7946 from now on, no longer at 10.64.0.1:7946",
        ],
    );
}
