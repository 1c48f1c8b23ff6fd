"""Makes the configuration of the dialing sidecar from what Consul answered; prints it as JSON.

    envoy.py FOLDER ADDRESS FIRST_PORT SERVER_URI MODE...

FOLDER has, for each mode, MODE.json (of ads.py), and leaf.json and roots.json of the agent. The
sidecar listens on consecutive ports, one for each mode, presents the service's certificate, and
accepts no other server than SERVER_URI. Its log, FOLDER/sessions.jsonl, has a line per session.
"""

import json
import sys
from pathlib import Path

TYPE = "type.googleapis.com/envoy."
LOGGED = {
    "mode": "%UPSTREAM_CLUSTER%",
    "endpoint": "%UPSTREAM_HOST%",
    "server_uri": "%UPSTREAM_PEER_URI_SAN%",
    "failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
}


def typed(name, kind, **fields):
    return {"name": name, "typed_config": {"@type": TYPE + kind, **fields}}


def socket(address, port):
    return {"address": {"socket_address": {"address": address, "port_value": port}}}


def listener(mode, address, port, folder):
    log = typed("envoy.access_loggers.file", "extensions.access_loggers.file.v3.FileAccessLog",
                path=str(folder / "sessions.jsonl"), log_format={"json_format": LOGGED})
    proxy = typed("envoy.filters.network.tcp_proxy",
                  "extensions.filters.network.tcp_proxy.v3.TcpProxy",
                  stat_prefix=mode, cluster=mode, access_log=[log])
    return {"name": mode, **socket(address, port), "filter_chains": [{"filters": [proxy]}]}


def cluster(mode, answer, leaf, roots, server_uri):
    tls = typed("envoy.transport_sockets.tls",
                "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                sni=answer["sni"],
                common_tls_context={
                    "tls_certificates": [{
                        "certificate_chain": {"inline_string": leaf["CertPEM"]},
                        "private_key": {"inline_string": leaf["PrivateKeyPEM"]},
                    }],
                    "validation_context": {
                        "trusted_ca": {"inline_string": roots},
                        "match_typed_subject_alt_names": [
                            {"san_type": "URI", "matcher": {"exact": server_uri}},
                        ],
                    },
                })
    endpoints = [{"endpoint": socket(each["address"], each["port"])}
                 for each in answer["endpoints"]]
    return {
        "name": mode,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": mode, "endpoints": [{"lb_endpoints": endpoints}]},
        "transport_socket": tls,
    }


def main():
    folder, address, first_port, server_uri, *modes = sys.argv[1:]
    folder = Path(folder)

    def read(name):
        return json.loads((folder / name).read_text())

    leaf = read("leaf.json")
    roots = "".join(root["RootCert"] for root in read("roots.json")["Roots"])
    print(json.dumps({
        "static_resources": {
            "listeners": [listener(mode, address, port, folder)
                          for port, mode in enumerate(modes, int(first_port))],
            "clusters": [cluster(mode, read(f"{mode}.json"), leaf, roots, server_uri)
                         for mode in modes],
        },
        "admin": socket(address, 19000),
    }, indent=1))


main()
