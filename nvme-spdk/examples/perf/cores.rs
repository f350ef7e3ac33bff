//! CPUs as they are written on command lines of SPDK and DPDK.

use std::str::FromStr;

use crate::end::Result;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cores(pub Vec<usize>);

impl Cores {
    /// The last one this process may use: the first has the embedded target and whatever else there is.
    pub fn last() -> Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or("0");
        // A list without brackets: "5" is CPU 5 there, and a mask on a command line.
        let allowed = of_list(list.trim()).ok_or_else(|| format!("the kernel allows no CPU: {list:?}"))?;
        Ok(Cores(allowed.into_iter().max().into_iter().collect()))
    }
}

impl FromStr for Cores {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no mask as 0x6, and no list as [1,2] or [1-2]");
        let bracketed =
            text.strip_prefix('[').map(|rest| rest.strip_suffix(']').ok_or_else(wrong)).transpose()?;
        let cores = match bracketed {
            Some(list) => of_list(list).ok_or_else(wrong)?,
            None if text.contains([',', '-']) => of_list(text).ok_or_else(wrong)?,
            None => {
                let digits = text.strip_prefix("0x").unwrap_or(text);
                let mask = u128::from_str_radix(digits, 16).map_err(|_| wrong())?;
                (0..128).filter(|cpu| mask >> cpu & 1 == 1).collect()
            }
        };
        if cores.is_empty() { Err(format!("{text:?} names no CPU")) } else { Ok(Cores(cores)) }
    }
}

fn of_list(list: &str) -> Option<Vec<usize>> {
    const MOST: usize = 1024;
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse::<usize>().ok()?);
        if last >= MOST {
            return None;
        }
        for cpu in first..=last {
            if !cores.contains(&cpu) {
                cores.push(cpu);
            }
        }
    }
    Some(cores)
}
