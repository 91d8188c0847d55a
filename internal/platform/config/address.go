package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// ParseURL parses a setting that is a URL with one of the schemes. A URL may hold a password, and the errors
// of net/url quote what they could not parse. So the error of ParseURL says what is wrong in its own words
// and never quotes the value.
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

// CheckHTTP refuses a setting that is not an http or https URL with a host. Its error quotes nothing of it.
func CheckHTTP(value string) error {
	u, err := ParseURL(value, "http", "https")
	if err == nil && u.Host == "" {
		err = errors.New("is a URL without a host")
	}
	return err
}

// hint names the reason of a parse error without quoting anything of the input.
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

// PublicURL returns the scheme, host and path of a URL, for logs: user name, password, query and fragment may
// be secrets. A value that cannot be parsed is not shown at all.
func PublicURL(value string) string {
	u, err := url.Parse(value)
	if err != nil || u.Host == "" {
		return "(hidden)"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// WithoutURL takes the URL out of an error of net/http, whose text has it with its user name and its query.
func WithoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
