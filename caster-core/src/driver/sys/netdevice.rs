//! The interfaces of a Linux host without netlink, which `getifaddrs` needs and which Android and some
//! sandboxes refuse: by the ioctls of netdevice(7), and `/proc/net/if_inet6` for IPv6.

use super::found::{Found, USUAL_MTU};
use crate::message::Interface;
use nix::errno::Errno;
use nix::libc;
use socket2::{Domain, Socket, Type};
use std::fs;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

/// The kernel gives IPv6 addresses of all interfaces here, one a line.
const IF_INET6: &str = "/proc/net/if_inet6";

/// How many IPv4 addresses are asked for first, and at the most.
const FEW: usize = 64;
const MOST: usize = 1 << 14;

/// All interfaces that have an address. If the system refuses this as well, the loopback interface and
/// one that stands for what the system chooses.
pub(super) fn list() -> Vec<Found> {
    match by_ioctl() {
        Ok(all) if !all.is_empty() => all,
        _ => unknown(),
    }
}

fn unknown() -> Vec<Found> {
    let lan = Found {
        interface: Interface::new(0, ""),
        up: true,
        running: true,
        multicast: true,
        loopback: false,
        point_to_point: false,
        mtu: USUAL_MTU,
        addresses: vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
    };
    // Linux numbers the loopback interface of every namespace so.
    let addresses = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let loopback = Interface::new(1, "lo");
    let loopback = Found { interface: loopback, loopback: true, addresses, ..lan.clone() };
    vec![loopback, lan]
}

fn by_ioctl() -> io::Result<Vec<Found>> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)
        .or_else(|_| Socket::new(Domain::IPV6, Type::DGRAM, None))?;
    let v4 = v4_addresses(&socket)?.into_iter().map(|(name, ip)| (name, IpAddr::from(ip)));
    // The file is not there on a host without IPv6.
    let v6 = v6_addresses(&fs::read_to_string(IF_INET6).unwrap_or_default());
    let v6 = v6.into_iter().map(|(name, ip)| (name, IpAddr::from(ip)));
    let mut all: Vec<Found> = Vec::new();
    for (name, address) in v4.chain(v6) {
        match all.iter_mut().find(|found| found.interface.name() == name) {
            Some(found) => found.addresses.push(address),
            // An error means that it is gone by now.
            None => all.extend(found(&socket, &name, address)),
        }
    }
    Ok(all)
}

fn found(socket: &Socket, name: &str, address: IpAddr) -> io::Result<Found> {
    let mut request = request(name)?;
    call(socket, libc::SIOCGIFINDEX, &mut request)?;
    // SAFETY: the kernel has written this member of the union.
    let index = unsafe { request.ifr_ifru.ifru_ifindex } as u32;
    call(socket, libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: as above.
    let flags = libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags });
    let has = |flag| flags & flag != 0;
    Ok(Found {
        interface: Interface::new(index, name),
        up: has(libc::IFF_UP),
        running: has(libc::IFF_RUNNING),
        multicast: has(libc::IFF_MULTICAST),
        loopback: has(libc::IFF_LOOPBACK),
        point_to_point: has(libc::IFF_POINTOPOINT),
        mtu: mtu_of(socket, name),
        addresses: vec![address],
    })
}

/// The MTU of this interface.
pub(in crate::driver) fn mtu_of(socket: &Socket, name: &str) -> usize {
    let mtu = request(name).and_then(|mut request| {
        call(socket, libc::SIOCGIFMTU, &mut request)?;
        // SAFETY: the kernel has written this member of the union.
        Ok(unsafe { request.ifr_ifru.ifru_mtu })
    });
    mtu.ok().and_then(|mtu| usize::try_from(mtu).ok()).unwrap_or(USUAL_MTU)
}

fn empty_request() -> libc::ifreq {
    // SAFETY: a C structure of numbers and pointers, for which zero is a value.
    unsafe { mem::zeroed() }
}

fn request(name: &str) -> io::Result<libc::ifreq> {
    let mut request = empty_request();
    // The last byte stays zero.
    let room = request.ifr_name.len() - 1;
    let place = request.ifr_name[..room].get_mut(..name.len()).ok_or(Errno::ENODEV)?;
    place.iter_mut().zip(name.bytes()).for_each(|(to, byte)| *to = byte as libc::c_char);
    Ok(request)
}

fn call<T>(socket: &Socket, request: libc::c_ulong, argument: &mut T) -> io::Result<()> {
    // SAFETY: the requests used here take a pointer to the structure that their callers give.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), request as _, argument) };
    Errno::result(result)?;
    Ok(())
}

/// The IPv4 addresses of all interfaces.
fn v4_addresses(socket: &Socket) -> io::Result<Vec<(String, Ipv4Addr)>> {
    let mut count = FEW;
    loop {
        let mut requests = vec![empty_request(); count];
        let size = mem::size_of_val(requests.as_slice());
        let list = libc::__c_anonymous_ifc_ifcu { ifcu_req: requests.as_mut_ptr() };
        let mut all = libc::ifconf { ifc_len: size as _, ifc_ifcu: list };
        call(socket, libc::SIOCGIFCONF, &mut all)?;
        let filled = all.ifc_len as usize / size_of::<libc::ifreq>();
        // A full list may be one that was cut off.
        if filled < count || count >= MOST {
            return Ok(requests[..filled.min(count)].iter().filter_map(v4_address).collect());
        }
        count *= 4;
    }
}

fn v4_address(request: &libc::ifreq) -> Option<(String, Ipv4Addr)> {
    // SAFETY: the kernel has written this member of the union.
    let address = unsafe { request.ifr_ifru.ifru_addr };
    if i32::from(address.sa_family) != libc::AF_INET {
        return None;
    }
    // The data of a sockaddr_in: a port, then the address.
    let octets = std::array::from_fn(|at| address.sa_data[2 + at] as u8);
    let name: Vec<u8> =
        request.ifr_name.iter().map(|&byte| byte as u8).take_while(|&byte| byte != 0).collect();
    let name = String::from_utf8(name).ok()?;
    // A second address may have a label of its own, as in eth0:1.
    let name = name.split(':').next().unwrap_or_default();
    Some((name.to_owned(), Ipv4Addr::from(octets)))
}

/// Lines as in `fe800000000000000000000000000001 02 40 20 80 eth0`.
fn v6_addresses(text: &str) -> Vec<(String, Ipv6Addr)> {
    let line = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address = words.next().filter(|digits| digits.len() == 32)?;
        let address = u128::from_str_radix(address, 16).ok()?;
        Some((words.nth(4)?.to_owned(), Ipv6Addr::from_bits(address)))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ioctls_list_what_getifaddrs_lists() {
        let mut expected = super::super::calls::list().unwrap();
        expected.retain(|found| !found.addresses.is_empty());
        let mut all = list();
        for found in expected.iter_mut().chain(&mut all) {
            found.addresses.sort_unstable();
        }
        expected.sort_by_key(|found| found.interface.index());
        all.sort_by_key(|found| found.interface.index());
        assert_eq!(all, expected);
    }

    #[test]
    fn broken_lines_of_the_file_are_left_out() {
        let text = "fe800000000000000000000000000001 02 40 20 80     eth0\n\
                    00000000000000000000000000000001 01 80 10 80       lo\n\
                    fe80 02 40 20 80 eth1\n\
                    zz800000000000000000000000000001 02 40 20 80 eth1\n\
                    fe800000000000000000000000000001 02 40 20\n\n";
        let expected = [
            ("eth0".to_owned(), "fe80::1".parse().unwrap()),
            ("lo".to_owned(), Ipv6Addr::LOCALHOST),
        ];
        assert_eq!(v6_addresses(text), expected);
    }

    #[test]
    fn a_name_longer_than_the_kernel_has_them_is_no_interface() {
        assert!(request(&"x".repeat(libc::IFNAMSIZ - 1)).is_ok());
        assert!(request(&"x".repeat(libc::IFNAMSIZ)).is_err());
    }
}
