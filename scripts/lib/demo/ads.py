"""Asks Consul, as a sidecar's Envoy would, where an upstream is reached; prints it as JSON.

    ads.py GRPC_ADDRESS PROXY_ID SERVICE UPSTREAM

Consul 1.8 answers over Envoy's aggregated discovery service, version 2: one stream, on which each
kind of resource is subscribed to and each answer acknowledged. Needs grpcio. What is printed has
the server name to send (`sni`) and the endpoints to dial, as soon as Consul says that one is
healthy.
"""

import json
import queue
import sys

import grpc

from wire import Message, field

METHOD = "/envoy.service.discovery.v2.AggregatedDiscoveryService/StreamAggregatedResources"
TYPE = "type.googleapis.com/envoy.api.v2."
CLUSTER, ENDPOINTS = TYPE + "Cluster", TYPE + "ClusterLoadAssignment"
TIMEOUT_S = 60


class Subscriptions:
    """What is sent on the stream: a first request per kind of resource, then acknowledgements."""

    def __init__(self, proxy_id, service):
        # Node: id = 1, cluster = 2.
        self._node = field(1, proxy_id) + field(2, service)
        self._waiting = queue.SimpleQueue()

    def ask(self, kind, names=(), version="", nonce=""):
        """DiscoveryRequest: version_info, node, resource_names, type_url, response_nonce."""
        request = field(2, self._node) + field(4, kind)
        request += b"".join(field(3, name) for name in names)
        if nonce:
            request += field(1, version) + field(5, nonce)
        self._waiting.put(request)

    def __iter__(self):
        return iter(self._waiting.get, None)

    def end(self):
        self._waiting.put(None)


def find(address, proxy_id, service, upstream):
    """The upstream's server name and endpoints, or None if Consul ends the stream before."""
    subscriptions = Subscriptions(proxy_id, service)
    subscriptions.ask(CLUSTER)
    found, names = None, []
    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        stream = channel.stream_stream(METHOD)(iter(subscriptions), timeout=TIMEOUT_S)
        for encoded in stream:
            # DiscoveryResponse: version_info = 1, resources = 2 (Any), type_url = 4, nonce = 5.
            answer = Message(encoded)
            kind = answer.text(4)
            resources = [any_of.inner(2) for any_of in answer.each(2)]
            if kind == CLUSTER:
                found = cluster_of(resources, upstream) or found
                first, names = not names, [found["cluster"]] if found else []
                subscriptions.ask(kind, (), answer.text(1), answer.text(5))
                if first and names:
                    subscriptions.ask(ENDPOINTS, names)
            elif kind == ENDPOINTS:
                subscriptions.ask(kind, names, answer.text(1), answer.text(5))
                for resource in resources:
                    if found and resource.text(1) == found["cluster"]:
                        found["endpoints"] = endpoints_of(resource)
            if found and found["endpoints"]:
                subscriptions.end()
                stream.cancel()
                return found
    return None


def cluster_of(resources, upstream):
    """The cluster of an upstream: the one whose server name begins with the service's."""
    for cluster in resources:
        # Cluster: name = 1, tls_context = 11; UpstreamTlsContext: sni = 2.
        sni = cluster.inner(11).text(2)
        if sni.startswith(upstream + "."):
            return {"cluster": cluster.text(1), "sni": sni, "endpoints": []}
    return None


def endpoints_of(assignment):
    """The addresses in a ClusterLoadAssignment that are not said to be unhealthy (2)."""
    return [
        # LbEndpoint: endpoint = 1 { address = 1 { socket_address = 1 } }, health_status = 2.
        {"address": socket.text(2), "port": socket.number(3)}
        for locality in assignment.each(2)
        for endpoint in locality.each(2)
        if endpoint.number(2) != 2
        for socket in [endpoint.inner(1, 1, 1)]
    ]


def main():
    address, proxy_id, service, upstream = sys.argv[1:]
    try:
        found = find(address, proxy_id, service, upstream)
    except grpc.RpcError as error:
        sys.exit(f"Consul's xDS at {address} says nothing of {upstream} to {proxy_id}: "
                 f"{error.code().name}: {error.details()}")
    if found is None:
        sys.exit(f"Consul's xDS at {address} ended the stream of {proxy_id} without an endpoint")
    print(json.dumps(found))


main()
