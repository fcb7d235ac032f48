package origintest

import "fmt"

// S3Error answers with an error as S3 writes it, for example S3Error(403, "SignatureDoesNotMatch", "...").
func (r *Rule) S3Error(status int, code, message string) *Rule {
	return r.xml(status, fmt.Sprintf("<Code>%s</Code><Message>%s</Message>", code, message)+requestID)
}

// ExpiredAWS answers 403 as AWS does when a pre-signed URL is past its time.
func (r *Rule) ExpiredAWS() *Rule {
	return r.xml(403, "<Code>AccessDenied</Code><Message>Request has expired</Message>"+
		"<X-Amz-Expires>300</X-Amz-Expires><Expires>2026-01-01T00:05:00Z</Expires><ServerTime>2026-01-01T00:05:01Z</ServerTime>"+requestID)
}

// ExpiredMinIO answers 403 as MinIO does when a pre-signed URL is past its time.
func (r *Rule) ExpiredMinIO() *Rule {
	return r.xml(403, "<Code>AccessDenied</Code><Message>Request has expired</Message>"+
		"<Key>package.bin</Key><BucketName>ota</BucketName><Resource>/ota/package.bin</Resource>"+requestID)
}

// ExpiredVersity answers 403 as versitygw does when a pre-signed URL is past its time.
func (r *Rule) ExpiredVersity() *Rule {
	return r.xml(403, "<Code>AccessDenied</Code><Message>Request has expired</Message>"+
		"<ServerTime>2026-01-01T00:05:01Z</ServerTime><X-Amz-Expires>300</X-Amz-Expires><Expires>2026-01-01T00:05:00Z</Expires>"+requestID)
}

const requestID = "<RequestId>4442587FB7D0A2F9</RequestId><HostId>bm90IGEgcmVhbCBob3N0</HostId>"

func (r *Rule) xml(status int, inner string) *Rule {
	return r.Status(status).Header("Content-Type", "application/xml").
		Text("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>" + inner + "</Error>")
}
