//! Components: measured, inspected, compiled and kept.

use super::*;

#[tokio::test]
async fn components_are_what_they_hash_to() {
    let engine = Engine::new(EngineProfile::Vm).unwrap();
    let store = store(&engine);
    let cancel = Cancellation::new();
    let error = store
        .measure(plain("", "i32.const 0"), Some([0; 32]), &cancel)
        .await
        .unwrap_err();
    assert!(matches!(error, MeasureError::Digest { .. }));
    let first = store
        .measure(plain("", "i32.const 0"), None, &cancel)
        .await
        .unwrap();
    let again = store
        .obtain(first.digest(), &cancel, async {
            panic!("fetched a component already here")
        })
        .await
        .unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    let lie = store
        .obtain([1; 32], &cancel, async { Ok(plain("", "i32.const 0")) })
        .await;
    assert!(matches!(lie, Err(MeasureError::Digest { .. })));
    assert!(store.get(&[1; 32]).is_none());
}

#[tokio::test]
async fn two_requests_at_once_fetch_and_compile_once() {
    let engine = Engine::new(EngineProfile::Vm).unwrap();
    let first = store(&engine);
    let cancel = Cancellation::new();
    let bytes = plain("", "i32.const 0");
    let digest = first
        .measure(bytes.clone(), None, &cancel)
        .await
        .unwrap()
        .digest();
    let store = store(&engine);
    let fetches = AtomicU64::new(0);
    let obtain = || {
        store.obtain(digest, &cancel, async {
            fetches.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(bytes.clone())
        })
    };
    let (a, b) = tokio::join!(obtain(), obtain());
    assert!(Arc::ptr_eq(&a.unwrap(), &b.unwrap()));
    assert_eq!(fetches.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_is_no_component_or_asks_for_more_is_refused() {
    let engine = Engine::new(EngineProfile::Vm).unwrap();
    let store = store(&engine);
    let refused = async |bytes: Vec<u8>| match store
        .measure(bytes, None, &Cancellation::new())
        .await
        .unwrap_err()
    {
        MeasureError::Refused(refusal) => refusal,
        other => panic!("{other}"),
    };
    assert_eq!(
        refused(wat::parse_str("(module)").unwrap()).await,
        Refusal::CoreModule
    );
    let native = engine
        .wasmtime()
        .precompile_component(&plain("", "i32.const 0"))
        .unwrap();
    assert_eq!(refused(native).await, Refusal::NativeCode);
    let http = command(
        r#"(import "wasi:http/types@0.2.0" (instance))"#,
        "",
        "",
        "i32.const 0",
    );
    assert_eq!(
        refused(http).await,
        Refusal::UnknownImports("`wasi:http/types@0.2.0`".to_owned())
    );
    let other_type = command(
        r#"(import "wasi:cli/exit@0.2.0" (instance (export "exit" (func))))"#,
        "",
        "",
        "i32.const 0",
    );
    let error = store
        .measure(other_type, None, &Cancellation::new())
        .await
        .unwrap_err();
    assert!(matches!(error, MeasureError::Link(_)), "{error}");
    let threads = plain("(memory 1 1 shared)", "i32.const 0");
    let error = store
        .measure(threads, None, &Cancellation::new())
        .await
        .unwrap_err();
    assert!(matches!(error, MeasureError::Compile(_)), "{error}");
}

#[tokio::test]
async fn sockets_link_and_are_denied() {
    let bytes = command(
        r#"(import "wasi:sockets/network@0.2.0" (instance $network
               (type $code (enum "unknown" "access-denied" "not-supported" "invalid-argument"
                   "out-of-memory" "timeout" "concurrency-conflict" "not-in-progress" "would-block"
                   "invalid-state" "new-socket-limit" "address-not-bindable" "address-in-use"
                   "remote-unreachable" "connection-refused" "connection-reset" "connection-aborted"
                   "datagram-too-large" "name-unresolvable" "temporary-resolver-failure"
                   "permanent-resolver-failure"))
               (export "error-code" (type (eq $code)))
               (type $family (enum "ipv4" "ipv6"))
               (export "ip-address-family" (type (eq $family)))))
           (alias export $network "error-code" (type $code))
           (alias export $network "ip-address-family" (type $family))
           (import "wasi:sockets/tcp@0.2.0" (instance $tcp (export "tcp-socket" (type (sub resource)))))
           (alias export $tcp "tcp-socket" (type $socket))
           (import "wasi:sockets/tcp-create-socket@0.2.0" (instance $create
               (alias outer 1 $code (type $c)) (export "error-code" (type $code (eq $c)))
               (alias outer 1 $family (type $f)) (export "ip-address-family" (type $family (eq $f)))
               (alias outer 1 $socket (type $s)) (export "tcp-socket" (type $socket (eq $s)))
               (export "create-tcp-socket" (func (param "address-family" $family)
                   (result (result (own $socket) (error $code)))))))
           (core module $mem (memory (export "memory") 1))
           (core instance $mem (instantiate $mem))
           (core func $socket (canon lower (func $create "create-tcp-socket") (memory (core memory $mem "memory"))))
           (core instance $host (export "socket" (func $socket)))"#,
        r#"(import "host" "socket" (func $socket (param i32 i32)))
           (import "mem" "memory" (memory 1))"#,
        r#"(with "host" (instance $host)) (with "mem" (instance $mem))"#,
        // An error (1), and that error access-denied (1).
        "(call $socket (i32.const 0) (i32.const 8))
         (i32.ne (i32.load16_u (i32.const 8)) (i32.const 0x0001))
         (i32.ne (i32.load8_u (i32.const 12)) (i32.const 1))
         i32.or",
    );
    assert_eq!(result(bytes, small()).await, Ok(()));
}
