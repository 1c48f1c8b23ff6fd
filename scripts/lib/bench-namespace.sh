# Inside of the private network of a run. Sourced by nobody: started by scripts/bench.
#
# What a benchmark must not depend on: the machine's congestion control (BBR paces, which makes
# loopback dear and noisy), and how many connections fit between two addresses.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
ip link set lo up
sysctl -qw net.ipv4.tcp_congestion_control=reno
sysctl -qw net.ipv4.ip_local_port_range='10240 65535'
sysctl -qw net.core.somaxconn=4096
exec "$@"
