//! The CPU quota of this process's control group (cgroups(7)), version 2 and version 1.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// The smallest quota on the way from this process's group to the root, in CPUs rounded up.
/// `None` where there is none.
#[must_use]
pub fn cpu_quota() -> Option<u16> {
    cpu_quota_thousandths().and_then(whole_cpus)
}

/// The same quota in thousandths of a CPU.
#[must_use]
pub fn cpu_quota_thousandths() -> Option<u64> {
    let groups = read_to_string("/proc/self/cgroup").ok()?;
    let mounts = read_to_string("/proc/self/mountinfo").ok()?;
    let places = places(&groups, &mounts);
    places.iter().flat_map(Place::levels).filter_map(|level| read_quota(&level)).min()
}

/// Where one hierarchy is mounted, and where in it this process is.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    mount: PathBuf,
    group: PathBuf,
}

impl Place {
    /// The folders of the group and of all above it. A quota applies to all below it.
    fn levels(&self) -> Vec<PathBuf> {
        let below = self.group.strip_prefix("/").unwrap_or(&self.group);
        below.ancestors().map(|part| self.mount.join(part)).collect()
    }
}

/// `groups` is `/proc/self/cgroup`, `mounts` is `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
fn places(groups: &str, mounts: &str) -> Vec<Place> {
    let mut places = Vec::new();
    for line in mounts.lines() {
        let Some((mounted, filesystem)) = line.split_once(" - ") else { continue };
        let mut mounted = mounted.split(' ').skip(3);
        let (Some(root), Some(mount)) = (mounted.next(), mounted.next()) else { continue };
        let mut filesystem = filesystem.split(' ');
        let kind = filesystem.next().unwrap_or_default();
        let options = filesystem.nth(1).unwrap_or_default();
        let v1 = kind == "cgroup" && options.split(',').any(|option| option == "cpu");
        if !v1 && kind != "cgroup2" {
            continue;
        }
        let Some(group) = group_path(groups, v1) else { continue };
        // Inside a container the mount may show only a part of the tree.
        let group = Path::new(group);
        let group = if root == "/" { group } else { group.strip_prefix(root).unwrap_or(group) };
        places.push(Place { mount: mount.into(), group: group.into() });
    }
    places
}

fn group_path(groups: &str, v1: bool) -> Option<&str> {
    groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let matches =
            if v1 { controllers.split(',').any(|c| c == "cpu") } else { controllers.is_empty() };
        matches.then_some(path)
    })
}

fn whole_cpus(thousandths: u64) -> Option<u16> {
    u16::try_from(thousandths.div_ceil(1000).max(1)).ok()
}

fn read_quota(level: &Path) -> Option<u64> {
    if let Ok(text) = read_to_string(level.join("cpu.max")) {
        return parse_v2(&text);
    }
    let quota = read_to_string(level.join("cpu.cfs_quota_us")).ok()?;
    let period = read_to_string(level.join("cpu.cfs_period_us")).ok()?;
    in_thousandths(quota.trim(), period.trim())
}

/// `cpu.max`: `$MAX $PERIOD` in microseconds; `max` means none.
fn parse_v2(text: &str) -> Option<u64> {
    let (quota, period) = text.trim().split_once(' ')?;
    in_thousandths(quota, period)
}

/// `-1` (version 1) and `max` (version 2) are not numbers of this type: no quota.
fn in_thousandths(quota_us: &str, period_us: &str) -> Option<u64> {
    let (quota_us, period_us) = (quota_us.parse::<u64>().ok()?, period_us.parse::<u64>().ok()?);
    let rounding = period_us.checked_sub(1)?;
    quota_us.checked_mul(1000)?.checked_add(rounding)?.checked_div(period_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_rounded_up_to_whole_cpus() {
        let cpus = |text| parse_v2(text).and_then(whole_cpus);
        assert_eq!(cpus("max 100000\n"), None);
        assert_eq!(cpus("200000 100000\n"), Some(2));
        assert_eq!((cpus("150000 100000\n"), parse_v2("150000 100000\n")), (Some(2), Some(1500)));
        assert_eq!(cpus("100001 100000\n"), Some(2), "however little more");
        assert_eq!(cpus("1000 100000\n"), Some(1));
        assert_eq!(in_thousandths("-1", "100000"), None);
        assert_eq!(in_thousandths("400000", "100000"), Some(4000));
        for broken in ["", "1", "1 0", "a b", "18446744073709551615 2"] {
            assert_eq!(parse_v2(broken), None, "{broken}");
        }
    }

    #[test]
    fn finds_the_group_in_version_2_and_all_levels_above() {
        let mounts = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
        let found = places("0::/system.slice/sluice.service\n", mounts);
        let levels = found.first().unwrap().levels();
        let expected =
            ["/sys/fs/cgroup/system.slice/sluice.service", "/sys/fs/cgroup/system.slice"];
        assert_eq!(levels.get(..2).unwrap(), expected.map(PathBuf::from));
        assert_eq!(levels.len(), 3);
    }

    #[test]
    fn finds_the_cpu_controller_in_version_1() {
        let mounts = "31 23 0:27 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
                      32 23 0:28 / /cg/memory rw - cgroup cgroup rw,memory\n";
        let found = places("4:memory:/m\n3:cpu,cpuacct:/docker/abc\n", mounts);
        let expected = Place { mount: "/cg/cpu".into(), group: "/docker/abc".into() };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn a_mount_of_a_part_of_the_tree_hides_what_is_above() {
        let mounts = "31 23 0:27 /docker/abc /cg ro - cgroup2 cgroup rw\n";
        let found = places("0::/docker/abc/inner\n", mounts);
        assert_eq!(found.first().unwrap().levels().first().unwrap(), Path::new("/cg/inner"));
    }

    #[test]
    fn reads_both_versions_from_their_files() {
        let folder = std::env::temp_dir().join(format!("sluice-cgroup-{}", std::process::id()));
        let (v1, v2) = (folder.join("v1"), folder.join("v2"));
        std::fs::create_dir_all(&v1).unwrap();
        std::fs::create_dir_all(&v2).unwrap();
        std::fs::write(v2.join("cpu.max"), "300000 100000\n").unwrap();
        std::fs::write(v1.join("cpu.cfs_quota_us"), "250000\n").unwrap();
        std::fs::write(v1.join("cpu.cfs_period_us"), "100000\n").unwrap();
        assert_eq!((read_quota(&v1), read_quota(&v2)), (Some(2500), Some(3000)));
        assert_eq!(read_quota(&folder), None);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
