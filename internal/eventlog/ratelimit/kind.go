package ratelimit

import (
	"net/netip"

	"parley.chat/internal/platform/config"
	"parley.chat/shared-contracts/chat"
)

// Kind names a group of writes that share one limit.
type Kind string

// Every write over REST or a WebSocket belongs to one of these kinds.
const (
	Message Kind = "message" // send, edit, delete, react; counted exactly and enforced with a block (see Reserve)
	Create  Kind = "create"  // new channels and groups
	Join    Kind = "join"    // a user joining and leaving, and answering invitations
	Rejoin  Kind = "rejoin"  // one user joining one channel
	Members Kind = "members" // adding, inviting, removing and banning others, and changing their roles
	Direct  Kind = "direct"  // opening direct channels
	Contact Kind = "contact" // contact requests and blocks
	Change  Kind = "change"  // changing and deleting channels and groups, and removing other users' reactions
	Profile Kind = "profile" // a user's own profile
	Session Kind = "session" // ending sessions, changing a password, deleting an account
	Cursor  Kind = "cursor"  // delivered and read positions over REST
	// Network counts all writes from one network, including writes without a login, but not
	// messages and receipts.
	Network Kind = "network"
)

// The kinds that are not in Rates. Each is counted by only one service, in addition to the kind of
// the write itself.
const (
	Attempt      Kind = "attempt"       // signups and logins from one network
	AttemptSite  Kind = "attempt-site"  // attempts from one IPv6 /56, the block that a household typically gets
	AttemptBlock Kind = "attempt-block" // attempts from one IPv6 /48 or IPv4 /24
	// Guess counts wrong passwords for one account from one network, known device or session.
	Guess    Kind = "guess"
	GuessAll Kind = "guess-all" // wrong passwords for one account from all networks together
)

// Rates holds the limits of a deployment, except the limit on messages. All services read the same
// environment variables.
type Rates struct {
	Create  config.Rate `env:"RATE_LIMIT_CREATE" envDefault:"60/1h" desc:"channels and groups that one user creates"`
	Join    config.Rate `env:"RATE_LIMIT_JOIN" envDefault:"120/10m" desc:"how often one user joins or leaves a channel, or answers an invitation"`
	Rejoin  config.Rate `env:"RATE_LIMIT_REJOIN" envDefault:"2/4m" desc:"how often one user joins the same channel"`
	Members config.Rate `env:"RATE_LIMIT_MEMBERS" envDefault:"300/1h" desc:"members that one user adds, invites, removes, bans or gives a role"`
	Direct  config.Rate `env:"RATE_LIMIT_DIRECT" envDefault:"120/10m" desc:"direct channels that one user opens"`
	Contact config.Rate `env:"RATE_LIMIT_CONTACT" envDefault:"120/10m" desc:"contact requests, contact removals and blocks by one user"`
	Change  config.Rate `env:"RATE_LIMIT_CHANGE" envDefault:"120/10m" desc:"changes and deletions of channels and groups by one user, and removals of other users' reactions"`
	Profile config.Rate `env:"RATE_LIMIT_PROFILE" envDefault:"60/10m" desc:"changes that one user makes to their profile"`
	Session config.Rate `env:"RATE_LIMIT_SESSION" envDefault:"60/10m" desc:"sessions that one user ends, and changes of their password"`
	Cursor  config.Rate `env:"RATE_LIMIT_CURSOR" envDefault:"600/1m" desc:"delivered and read positions that one user reports over REST"`
	Network config.Rate `env:"RATE_LIMIT_NETWORK" envDefault:"1200/1m" desc:"writes over REST from one network, except messages and positions"`
}

// Of returns the limit for a kind. ok is false for Message and for kinds that are not in Rates.
func (r *Rates) Of(kind Kind) (rate config.Rate, ok bool) {
	switch kind {
	case Create:
		return r.Create, true
	case Join:
		return r.Join, true
	case Rejoin:
		return r.Rejoin, true
	case Members:
		return r.Members, true
	case Direct:
		return r.Direct, true
	case Contact:
		return r.Contact, true
	case Change:
		return r.Change, true
	case Profile:
		return r.Profile, true
	case Session:
		return r.Session, true
	case Cursor:
		return r.Cursor, true
	case Network:
		return r.Network, true
	}
	return config.Rate{}, false
}

// Known reports whether kind is Message or in Rates.
func (k Kind) Known() bool {
	_, ok := new(Rates).Of(k)
	return ok || k == Message
}

// Use is one write that counts against the limit of its kind. Subject identifies the owner of the
// limit: a user, a network, or a user in a channel.
type Use struct {
	Kind    Kind
	Subject string
}

// By returns a Use that counts against the given user's limit for the kind.
func By(kind Kind, user chat.UserID) Use { return Use{kind, user.String()} }

// Into returns the Use that counts how often a user joins the given channel.
func Into(channel chat.ChannelID, user chat.UserID) Use {
	return Use{Rejoin, user.String() + ":" + channel.String()}
}

// From returns the Use that counts against the limit of a client's network. ok is false if the
// address is unknown, for example on a Unix socket.
func From(addr netip.Addr) (use Use, ok bool) {
	name := NetworkOf(addr)
	return Use{Network, name}, name != ""
}

// NetworkOf returns the network of a client as text: one IPv4 address or one IPv6 /64, the smallest
// block that one customer gets. It returns "" if the address is unknown.
func NetworkOf(addr netip.Addr) string {
	all := Networks(addr)
	switch {
	case len(all) == 0:
		return ""
	case all[0].IsSingleIP():
		return all[0].Addr().String()
	}
	return all[0].String()
}

// Networks returns the address blocks that contain addr and that one customer may own, narrowest
// first: /64, /56 and /48 for IPv6, /32 and /24 for IPv4. It returns none if the address is
// unknown.
func Networks(addr netip.Addr) []netip.Prefix {
	if !addr.IsValid() {
		return nil
	}
	addr = addr.Unmap().WithZone("")
	sizes := []int{64, 56, 48}
	if addr.Is4() {
		sizes = []int{32, 24}
	}
	all := make([]netip.Prefix, len(sizes))
	for i, bits := range sizes {
		all[i] = netip.PrefixFrom(addr, bits).Masked()
	}
	return all
}
