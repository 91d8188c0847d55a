package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// ParseURL parses a setting whose value is a URL with one of the given schemes. A URL may contain a
// password, and the errors of net/url quote their input. So the error of ParseURL describes the
// problem in its own words and never quotes the value.
func ParseURL(value string, schemes ...string) (*url.URL, error) {
	u, err := url.Parse(value)
	if err != nil {
		return nil, errors.New("is not a valid URL" + hint(err) + " (percent-encode % / ? # : @ and spaces in a user name or a password, % as %25)")
	}
	if !slices.Contains(schemes, u.Scheme) {
		return nil, fmt.Errorf("is not a URL that begins with %s://", strings.Join(schemes, ":// or "))
	}
	return u, nil
}

// CheckHTTP returns an error unless value is an http or https URL with a host. The error does not
// quote the value.
func CheckHTTP(value string) error {
	u, err := ParseURL(value, "http", "https")
	if err == nil && u.Host == "" {
		err = errors.New("is a URL without a host")
	}
	return err
}

// hint returns the reason for a parse error, without quoting the input.
func hint(err error) string {
	if _, ok := errors.AsType[url.EscapeError](err); ok {
		return ": it has an invalid percent escape"
	}
	if _, ok := errors.AsType[url.InvalidHostError](err); ok {
		return ": its host has an invalid character"
	}
	for _, known := range []string{"invalid port", "invalid userinfo", "missing protocol scheme", "invalid control character"} {
		if strings.Contains(err.Error(), known) {
			return ": " + known
		}
	}
	return ""
}

// PublicURL returns the scheme, host and path of a URL, for use in logs. It omits the user name,
// password, query and fragment, because they may be secret. A value that cannot be parsed is hidden
// entirely.
func PublicURL(value string) string {
	u, err := url.Parse(value)
	if err != nil || u.Host == "" {
		return "(hidden)"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// WithoutURL removes the URL from a net/http error. The URL in the error's text includes the user
// name and the query, which may be secret.
func WithoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
