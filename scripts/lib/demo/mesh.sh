# The mesh of the demo: two datacenters, the service, the gateways and the dialing sidecar. Sourced.
#
# Every role has an address of its own within 127.N.0.0/16, so that all ports are the usual ones:
#
#   127.N.DC.1    Consul server, agent and xDS      127.N.2.10  echo, and its sidecar
#   127.N.DC.20   gateway: LAN, and its admin       127.N.1.30  shop's sidecar: one port per mode
#   127.N.DC.21   gateway: WAN

readonly modes=(local remote none)
readonly ports=(7000 8300 8301 8302 8443 8500 8502 9001 9002 9003 19000 21000)

# Builds the gateway, unless SLUICE_PROGRAM names one; installs what starting it here takes.
build() {
    need curl:curl openssl:openssl python3:python3 setpriv:util-linux awk:mawk
    if [[ -n ${SLUICE_PROGRAM:-} ]]; then
        if [[ ! -x $SLUICE_PROGRAM ]]; then
            complain "SLUICE_PROGRAM=$SLUICE_PROGRAM is no program: build it, or leave it unset"
            return 78
        fi
    elif command -v cargo >/dev/null; then
        need cc:build-essential
        echo "building (minutes from scratch, seconds after that)"
        cd "$home"
        cargo build --release --quiet --bin sluice
    elif [[ ! -x $target/release/sluice ]]; then
        complain "neither cargo nor $target/release/sluice is there: install Rust"
        return 69
    fi
}

# The program that was built.
built() {
    echo "${SLUICE_PROGRAM:-$target/release/sluice}"
}

# Sets $net to a 127.N where nothing is bound.
choose_addresses() {
    local used number taken
    used=$(awk 'FNR > 1 { sub(":.*", "", $2); print $2 }' /proc/net/tcp /proc/net/udp)
    for ((number = 64 + $$ % 64; number < 224; number++)); do
        # Linux prints addresses there as little-endian numbers.
        if ! grep -q "$(printf '%02X7F' "$number")\$" <<<"$used"; then break; fi
    done
    net=127.$number
    # Who listens on all addresses has these, too.
    taken=$(awk -v wanted="$(printf '%04X ' "${ports[@]}")" '
        FNR > 1 && $4 ~ /0A|07/ && $2 ~ /^0+:/ {
            sub(".*:", "", $2)
            if (index(wanted, $2)) print $2
        }' /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6 2>/dev/null | sed -n 1p)
    if [[ -n $taken ]]; then
        fail "port $((16#$taken)) is taken on all addresses by another program; end that first"
    fi
}

# start_consul NUMBER: the server of datacenter NUMBER, which is its agent, too.
start_consul() {
    local own=$net.$1.1
    cat >"$work/dc$1.json" <<JSON
{
  "datacenter": "dc$1", "primary_datacenter": "dc1", "node_name": "dc$1-server",
  "server": true, "bootstrap_expect": 1, "data_dir": "$work/dc$1",
  "bind_addr": "$own", "client_addr": "$own",
  "advertise_addr": "$own", "advertise_addr_wan": "$own",
  "ports": { "grpc": 8502, "dns": -1 },
  "connect": { "enabled": true }, "enable_central_service_config": true,
  "retry_join_wan": ["$net.1.1"], "retry_interval_wan": "1s",
  "performance": { "raft_multiplier": 1 }, "disable_update_check": true
}
JSON
    begin "consul-dc$1" "$consul" agent -config-file "$work/dc$1.json"
}

# Succeeds once datacenter NUMBER has a leader and knows the other one.
is_joined() {
    [[ $(http GET "http://$net.$1.1:8500/v1/status/leader") == *8300* ]] &&
        http GET "http://$net.$1.1:8500/v1/catalog/services?dc=dc$((3 - $1))" &&
        http GET "http://$net.$1.1:8500/v1/connect/ca/roots" | value TrustDomain
}

# register NUMBER JSON: a service with the agent of datacenter NUMBER.
register() {
    http PUT "http://$net.$1.1:8500/v1/agent/service/register" --data "$2" ||
        fail "the agent of dc$1 refused to register a service"
}

# The service in dc2, and its sidecar: Consul's own.
start_service() {
    register 2 '{
        "Name": "echo", "Address": "'"$net.2.10"'", "Port": 7000,
        "Connect": { "SidecarService": {
            "Address": "'"$net.2.10"'", "Port": 21000,
            "Proxy": { "LocalServiceAddress": "'"$net.2.10"'", "LocalServicePort": 7000 },
            "Checks": [
                { "Name": "sidecar", "TCP": "'"$net.2.10:21000"'", "Interval": "1s" },
                { "Name": "echo", "AliasService": "echo" }
            ] } } }'
    begin echo python3 "$helpers/service.py" "$net.2.10" 7000 "greetings from echo in dc2"
    begin echo-sidecar "$consul" connect proxy -http-addr "$net.2.1:8500" -sidecar-for echo
}

# start_gateway NUMBER: Sluice, as it would be started at the edge of a real datacenter, and with
# no delay at its end.
start_gateway() {
    begin "gateway-dc$1" env CONSUL_HTTP_ADDR="$net.$1.1:8500" "$sluice" run \
        --register --service mesh-gateway \
        --address "$net.$1.20:8443" --wan-address "$net.$1.21:8443" \
        --bind-address "lan=$net.$1.20:8443" --bind-address "wan=$net.$1.21:8443" \
        --admin-bind "$net.$1.20:19000" --engine "$engine" \
        --drain-delay 0 --drain-timeout 1s --drain-spread 0
}

# Succeeds once the gateway of datacenter NUMBER leads the service's name to a healthy endpoint and
# both datacenters see both gateways passing.
is_routing() {
    local dc
    [[ $(explain "$1" "$sni" | value endpoints 0 healthy) == true ]] || return
    for dc in 1 2; do
        http GET "http://$net.$1.1:8500/v1/health/service/mesh-gateway?dc=dc$dc&passing" |
            value 0 Service ID || return
    done
}

# explain NUMBER NAME: what the gateway of datacenter NUMBER says of a name.
explain() {
    http GET "http://$net.$1.20:19000/routes?sni=$2"
}

# The dialing service in dc1: one instance for each mode, as the mode is set where an upstream is.
register_dialers() {
    local at mode
    for at in "${!modes[@]}"; do
        mode=${modes[at]}
        register 1 '{
            "Name": "shop", "ID": "shop-'"$mode"'", "Address": "'"$net.1.30"'",
            "Port": '$((8001 + at))',
            "Connect": { "SidecarService": {
                "Address": "'"$net.1.30"'", "Port": '$((21001 + at))',
                "Checks": [{ "AliasService": "shop-'"$mode"'" }],
                "Proxy": { "Upstreams": [{
                    "DestinationName": "echo", "Datacenter": "dc2",
                    "LocalBindAddress": "'"$net.1.30"'", "LocalBindPort": '$((9001 + at))',
                    "MeshGateway": { "Mode": "'"$mode"'" }
                }] } } } }'
    done
}

# Asks Consul what it would tell Envoy, and starts Envoy with just that: Consul 1.8 speaks only an
# xDS that Envoy no longer knows.
start_dialer() {
    local mode why agent=http://$net.1.1:8500
    for mode in "${modes[@]}"; do
        why=$("$python" "$helpers/ads.py" "$net.1.1:8502" "shop-$mode-sidecar-proxy" \
            shop-sidecar-proxy echo 2>&1 >"$work/$mode.json") || fail "${why##*$'\n'}"
    done
    http GET "$agent/v1/agent/connect/ca/leaf/shop" >"$work/leaf.json"
    http GET "$agent/v1/agent/connect/ca/roots" >"$work/roots.json"
    value CertPEM <"$work/leaf.json" >"$work/leaf.pem"
    value PrivateKeyPEM <"$work/leaf.json" >"$work/leaf.key"
    python3 "$helpers/envoy.py" "$work" "$net.1.30" 9001 "$server_uri" "${modes[@]}" \
        >"$work/envoy.json"
    # A line of its log is wanted when the session ends, not at leisure.
    begin envoy "$envoy" --config-path "$work/envoy.json" --disable-hot-restart --concurrency 1 \
        --file-flush-interval-msec 20 --log-level warning
    await 20 "Envoy was not ready" http GET "http://$net.1.30:19000/ready"
}
