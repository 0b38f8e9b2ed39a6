//! The keys of configuration files, for their reference: `docs/configuration.md` is made of this and of what flags say of themselves.

/// One key.
pub struct Key {
    /// As it stands in a file.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// The flag that says the same, without its dash.
    pub flag: Option<&'static str>,
    /// What counts where nothing is said.
    pub default: &'static str,
    /// Whether SIGHUP reads it again.
    pub reloads: bool,
    /// What it is, if no flag says so, or what is to be added to that.
    pub meaning: &'static str,
}

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A text such as `30s` or `1h30m`.
    Span,
    /// A whole number.
    Count,
    /// `true`; files and flags can only turn it on.
    Switch,
    /// Texts; those of later files and of flags are appended.
    List,
    /// Texts by name; later ones replace those of the same name.
    Map,
    /// Lists by name, appended likewise.
    Lists,
    /// An interface and two switches.
    Mdns,
}

impl Kind {
    /// As the reference shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Span => "duration",
            Kind::Count => "number",
            Kind::Switch => "true or false",
            Kind::List => "list",
            Kind::Map => "map",
            Kind::Lists => "map of lists",
            Kind::Mdns => "map",
        }
    }
}

const fn key(name: &'static str, kind: Kind, flag: &'static str, default: &'static str) -> Key {
    let flag = if flag.is_empty() { None } else { Some(flag) };
    Key { name, kind, flag, default, reloads: false, meaning: "" }
}

impl Key {
    const fn reloads(self) -> Key {
        Key { reloads: true, ..self }
    }

    const fn means(self, meaning: &'static str) -> Key {
        Key { meaning, ..self }
    }
}

/// All of them, by what they are about.
pub const KEYS: &[(&str, &[Key])] = &[
    (
        "Who it is, and where",
        &[
            key("node_name", Kind::Text, "node", "the host's name"),
            key("cluster", Kind::Text, "cluster", "none"),
            key("bind", Kind::Text, "bind", "0.0.0.0:7946"),
            key("advertise", Kind::Text, "advertise", "the bound address"),
            key("advertise_observed", Kind::Switch, "advertise-observed", "false"),
            key("interface", Kind::Text, "iface", "none"),
            key("tags", Kind::Map, "tag", "none").reloads(),
            key("tags_file", Kind::Text, "tags-file", "none"),
            key("role", Kind::Text, "role", "none").reloads(),
            key("max_members", Kind::Count, "max-members", "16384"),
            key("profile", Kind::Text, "profile", "lan"),
            key("validate_node_names", Kind::Switch, "", "false")
                .means("Refuse a name of this node that has other characters than letters, digits and dashes"),
        ],
    ),
    (
        "Whom it joins",
        &[
            key("start_join", Kind::List, "join", "none").reloads(),
            key("replay_on_join", Kind::Switch, "replay", "false"),
            key("retry_join", Kind::List, "retry-join", "none").reloads(),
            key("retry_interval", Kind::Span, "retry-interval", "30s"),
            key("retry_max_attempts", Kind::Count, "retry-max", "0, no limit"),
            key("discover", Kind::Text, "discover", "none"),
            key("mdns", Kind::Mdns, "", "none").means("Where `discover` looks: `interface` (`-mdns-iface`), `disable_ipv4`, `disable_ipv6`"),
            key("snapshot_path", Kind::Text, "snapshot", "none").means("See [snapshots](snapshot.md)"),
            key("rejoin_after_leave", Kind::Switch, "rejoin", "false"),
            key("refused_grace", Kind::Span, "refused-grace", "500ms; 1s in the profile wan"),
            key("reconnect_interval", Kind::Span, "", "30s")
                .means("How often a member that has failed is tried again"),
            key("reconnect_timeout", Kind::Span, "", "24h").means("After how long it is forgotten"),
            key("tombstone_timeout", Kind::Span, "", "24h")
                .means("After how long a member that has left is forgotten"),
            key("disable_name_resolution", Kind::Switch, "", "false")
                .means("Go on when another node that answers has this one's name; the log says so"),
            key("disable_coordinates", Kind::Switch, "", "false")
                .means("Take no part in estimates of round trips (`serf rtt`)"),
        ],
    ),
    (
        "Who may command and read it",
        &[
            key("rpc_addr", Kind::Text, "rpc-addr", "127.0.0.1:7373"),
            key("rpc_auth", Kind::Text, "", "none")
                .reloads()
                .means("The token that commands over TCP have to show. Not beside `rpc_auth_file`"),
            key("rpc_auth_file", Kind::Text, "rpc-auth-file", "none").reloads(),
            key("rpc_allow_unauthenticated", Kind::Switch, "rpc-allow-unauthenticated", "false"),
            key("encrypt_key", Kind::Text, "encrypt", "none").means("See [security](security.md)"),
            key("keyring_file", Kind::Text, "keyring-file", "none"),
            key("event_authority", Kind::Lists, "", "none").reloads().means(
                "By an operator's public key, which events, queries and orders about keys only he may give. See [security](security.md)",
            ),
        ],
    ),
    (
        "What it does for events",
        &[
            key("event_handlers", Kind::List, "event-handler", "none").reloads(),
            key("handler_timeout", Kind::Span, "handler-timeout", "0s, no limit").reloads(),
            key("handler_concurrency", Kind::Count, "handler-concurrency", "1"),
            key("user_event_size_limit", Kind::Count, "", "512").reloads().means(
                "The longest name and payload of an event that it fires and takes, together, in bytes; 1,327 at most",
            ),
            key("query_size_limit", Kind::Count, "", "1024")
                .reloads()
                .means("The longest query that it asks and takes, encoded, in bytes; 1,327 at most"),
            key("query_response_size_limit", Kind::Count, "", "1024")
                .reloads()
                .means("The longest answer that it gives, likewise"),
        ],
    ),
    (
        "What it tells",
        &[
            key("log_level", Kind::Text, "log-level", "info").reloads(),
            key("log_format", Kind::Text, "log-format", "text; journald where systemd's journal has standard output"),
            key("enable_syslog", Kind::Switch, "syslog", "false"),
            key("syslog_facility", Kind::Text, "", "LOCAL0").means("Under which facility it logs to syslog"),
            key("http_addr", Kind::Text, "http-addr", "none").means("See [metrics](metrics.md)"),
            key("statsd_addr", Kind::Text, "", "none")
                .means("HOST:PORT of a statsd that numbers are pushed to, by UDP"),
            key("statsite_addr", Kind::Text, "", "none")
                .means("HOST:PORT of a statsite that numbers are pushed to, by TCP"),
        ],
    ),
    (
        "How it ends",
        &[
            key("leave_on_terminate", Kind::Switch, "", "false")
                .reloads()
                .means("Leave in good order on SIGTERM, too"),
            key("skip_leave_on_interrupt", Kind::Switch, "", "false")
                .reloads()
                .means("Do not leave on SIGINT: end at once, and be told of as failed"),
        ],
    ),
    (
        "Checked, and without effect",
        &[
            key("protocol", Kind::Count, "protocol", "5"),
            key("enable_compression", Kind::Switch, "", "false").means("Nothing is compressed"),
            key("broadcast_timeout", Kind::Span, "broadcast-timeout", "5s"),
            key("MsgpackUseNewTimeFormat", Kind::Switch, "", "false").means("No time stands in the RPC"),
        ],
    ),
];
