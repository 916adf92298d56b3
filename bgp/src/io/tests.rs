use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::*;
use crate::speaker::*;
use crate::types::*;
use crate::wire::{Binding, Nlri};

async fn until<F: Future<Output = bool>>(mut check: impl FnMut() -> F) {
    for _ in 0..600 {
        if check().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never came true");
}

fn config(id: u8, asn: u32) -> SpeakerConfig {
    SpeakerConfig { asn: Asn(asn), router_id: Ipv4Addr::new(10, 0, 0, id) }
}

fn route(n: u8) -> OriginatedRoute {
    let rd = RouteDistinguisher::ip(Ipv4Addr::new(10, 0, 0, 1), 1);
    let key = Route::Vpnv4(rd, format!("10.1.{n}.0/24").parse().unwrap());
    OriginatedRoute {
        route_targets: vec!["target:64514:1".parse().unwrap()],
        ext_communities: vec![ExtCommunity::encapsulation(13)],
        ..OriginatedRoute::new(
            Nlri::labelled(key, 100 + u32::from(n)),
            IpAddr::from([192, 0, 2, 1]),
        )
    }
}

/// Two drivers over real sockets, 127.0.0.1 against 127.0.0.2.
#[tokio::test]
async fn sessions_over_sockets_carry_routes_and_end_politely() {
    let (one, mut one_news) = Driver::spawn(config(1, 64512), Some("127.0.0.1:0".parse().unwrap()));
    let (two, mut two_news) = Driver::spawn(config(2, 64512), None);
    let port = one.listening().await.unwrap().unwrap().unwrap().port();
    let (a, b) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
    one.originate(route(1)).await.unwrap();
    let passive = PeerConfig { passive: true, ..PeerConfig::new(b, Asn(64512)) };
    one.set_peers(vec![passive]).await.unwrap();
    let active = PeerConfig { port, local_address: Some(b), ..PeerConfig::new(a, Asn(64512)) };
    two.set_peers(vec![active]).await.unwrap();

    assert_eq!(two_news.recv().await, Some(Update::SessionUp { peer: a }));
    let Some(Update::Best { path: Some(path), .. }) = two_news.recv().await else {
        panic!("a route")
    };
    assert_eq!(path.binding, Binding::Label(101));
    let end = Update::EndOfRib { peer: a, family: Family::Vpnv4 };
    assert_eq!(two_news.recv().await, Some(end));
    assert_eq!(one_news.recv().await, Some(Update::SessionUp { peer: b }));

    two.refresh(a, Family::Vpnv4).await.unwrap();
    assert_eq!(
        two.refresh(a, Family::Ipv4Unicast).await,
        Err(HandleError::NoRefresh(a, Family::Ipv4Unicast))
    );
    until(|| async { one.summary().await.unwrap()[0].advertised == 1 }).await;

    one.shutdown().await;
    assert!(matches!(one.summary().await, Err(HandleError::Gone)));
    let Some(Update::SessionDown { peer, reason }) = two_news.recv().await else {
        panic!("session down")
    };
    assert_eq!(peer, a);
    assert!(reason.contains("administrative shutdown"), "{reason}");
    assert!(matches!(two_news.recv().await, Some(Update::Best { path: None, .. })));
}

#[tokio::test]
async fn strangers_are_refused_and_a_taken_port_is_tried_again() {
    let (one, _one_news) = Driver::spawn(config(1, 64512), Some("127.0.0.1:0".parse().unwrap()));
    let address = one.listening().await.unwrap().unwrap().unwrap();
    let stranger = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut buffer = [0; 1];
    let read = tokio::io::AsyncReadExt::read(&mut { stranger }, &mut buffer).await;
    assert!(matches!(read, Ok(0) | Err(_)));

    let (two, _two_news) = Driver::spawn(config(2, 64512), Some(address));
    let taken = two.listening().await.unwrap().unwrap_err();
    assert!(taken.contains("cannot listen on 127.0.0.1"), "{taken}");
    one.shutdown().await;
    until(|| async { two.listening().await.unwrap().is_ok() }).await;
}

#[cfg(feature = "fault-injection")]
#[tokio::test]
async fn a_panic_ends_the_task_and_the_channel() {
    let (one, mut news, task) = Driver::spawn_with_task(config(1, 64512), None);
    one.inject_panic().await.unwrap();
    assert!(news.recv().await.is_none());
    assert!(task.await.unwrap_err().is_panic());
}
