package redisclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Reason describes err for /readyz, which is public. The description contains no addresses and no
// text from the server. The log shows err itself.
func Reason(err error) string {
	if err == nil {
		return "ok"
	}
	for _, known := range answers {
		if redis.HasErrorPrefix(err, known.prefix) {
			return known.state
		}
	}
	if state := tlsState(err); state != "" {
		return state
	}
	switch {
	case errors.Is(err, ErrUnsuitable):
		return "cannot be used with these settings; see the log"
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return "does not answer in time"
	}
	return "cannot be reached"
}

// answers maps the prefixes of a server's error replies to descriptions.
var answers = []struct{ prefix, state string }{
	{"WRONGPASS", "refuses the user name or the password"},
	{"NOAUTH", "asks for a password"},
	{"NOPERM", "does not permit its user a command or key that Parley needs; see the log"},
	{"READONLY", "is a read-only replica"},
	{"MASTERDOWN", "is a replica that has lost its master"},
	{"LOADING", "is loading its data"},
	{"OOM", "has no memory left for writes"},
	{"MISCONF", "cannot save its data and refuses writes"},
	{"NOREPLICAS", "has too few replicas and refuses writes"},
	{"CLUSTERDOWN", "is a Cluster that is down in part"},
	{"MOVED", "is one node of a Cluster"},
	{"ERR AUTH <password> called without any password", "has no password, but REDIS_URL contains one"},
	{"ERR max number of clients reached", "accepts no more connections"},
	{"ERR invalid password", "refuses the user name or the password"},
}

func tlsState(err error) string {
	if v, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "presents a certificate that is not accepted: " + certificateState(v.Err)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "does not use TLS, but REDIS_URL begins with rediss://"
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok || strings.Contains(err.Error(), "remote error: tls") {
		return "refuses the TLS connection"
	}
	return ""
}

func certificateState(err error) string {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "it has expired or is not valid yet"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "it is not signed by a trusted authority"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "it is for another host name"
	}
	return "see the log"
}

func isTimeout(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
}
