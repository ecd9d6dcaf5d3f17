//! Do screens reach people, and only with the policy that keeps hostile telemetry harmless?

use super::doubles::{call, house};

#[tokio::test]
async fn tools_get_text_and_people_the_page() {
    let house = house().await;
    let tool = call(&house.address, "GET", "/", &[("accept", "*/*")], b"").await;
    assert!(String::from_utf8(tool.body).unwrap().contains("/v1/logs"));
    let trace = "/traces/5b8efff798038103d269b633813fc60c";
    for path in ["/", "/services", "/errors?service=web", "/traces", trace, "/logs?view=live", "/sql?q=SELECT%201"] {
        let page = call(&house.address, "GET", path, &[("accept", "text/html,*/*;q=0.8")], b"").await;
        let body = String::from_utf8(page.body).unwrap();
        // Without `make build` the program has no screens and says how to get them.
        if page.status == 503 {
            assert!(body.contains("make build"), "{body}");
            continue;
        }
        assert_eq!(page.status, 200, "{path}");
        assert!(body.contains("<title>Causeway</title>"), "{body}");
        for header in ["default-src 'none'", "script-src 'self';", "nosniff", "no-referrer", "cache-control: no-cache"]
        {
            assert!(page.head.contains(header), "{path} lacks {header}: {}", page.head);
        }
        assert!(!page.head.contains("unsafe-"), "{}", page.head);
    }
}

#[tokio::test]
async fn the_page_is_not_sent_twice_and_its_scripts_are_kept_forever() {
    let house = house().await;
    let get = async |path: &str, headers: &[(&str, &str)]| call(&house.address, "GET", path, headers, b"").await;
    let page = get("/traces", &[]).await;
    if page.status == 503 {
        return;
    }
    let tag = page.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    assert_eq!(get("/traces", &[("if-none-match", &tag)]).await.status, 304);
    let body = String::from_utf8(page.body).unwrap();
    let script = body.split('"').find(|word| word.starts_with("/assets/") && word.ends_with(".js")).unwrap();
    let plain = get(script, &[]).await;
    let packed = get(script, &[("accept-encoding", "gzip, br")]).await;
    assert!(plain.head.contains("immutable") && plain.head.contains("content-type: text/javascript"));
    assert!(packed.head.contains("content-encoding: gzip") && packed.body.len() < plain.body.len());
    assert_eq!(get("/assets/../index.html", &[]).await.status, 404);
    assert_eq!(get("/assets/none.js", &[]).await.status, 404);
}
