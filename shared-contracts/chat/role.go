package chat

// Role is a member's standing in a channel or group. The empty Role is that of one who is no member: it
// may do nothing.
type Role string

// The roles, the mightiest first.
const (
	Owner  Role = "owner"
	Admin  Role = "admin"
	Member Role = "member"
)

// Valid reports whether r is a known role.
func (r Role) Valid() bool { return r == Owner || r == Admin || r == Member }

// Act is what somebody does in a channel or group.
type Act string

// The acts. What concerns another member's standing is MayRemove and MayGrant.
const (
	Read      Act = "read"      // history, members, presence, receipts
	Post      Act = "post"      // messages and reactions, and changes of one's own messages
	Leave     Act = "leave"     // go
	Invite    Act = "invite"    // make others members
	Describe  Act = "describe"  // name and description
	Moderate  Act = "moderate"  // delete messages of others, and remove their reactions
	Extend    Act = "extend"    // add channels to a group
	Close     Act = "close"     // delete the channel or group
	Entitle   Act = "entitle"   // change the roles of others
	Disinvite Act = "disinvite" // put others out: whom, says MayRemove
)

// least is the lowest role that may do an act: the one place where that is said.
var least = map[Act]Role{
	Read: Member, Post: Member, Leave: Member,
	Invite: Admin, Describe: Admin, Moderate: Admin, Extend: Admin, Disinvite: Admin,
	Close: Owner, Entitle: Owner,
}

// rank orders the roles: 0 for who is no member.
func (r Role) rank() int {
	switch r {
	case Owner:
		return 3
	case Admin:
		return 2
	case Member:
		return 1
	}
	return 0
}

// May reports whether a member of this role may do a in a channel that is not direct, or in a group.
func (r Role) May(a Act) bool {
	least, known := least[a]
	return known && r.rank() >= least.rank()
}

// MayIn is May in a channel of a kind: in a direct channel both read and write, and nothing can be
// changed of it.
func (r Role) MayIn(kind ChannelKind, a Act) bool {
	if kind == Direct && a != Read && a != Post {
		return false
	}
	return r.May(a)
}

// MayRemove reports whether a member of this role may put out one of the other: owners anybody, admins
// those below them.
func (r Role) MayRemove(other Role) bool {
	return r.May(Disinvite) && (r == Owner || r.rank() > other.rank())
}

// MayGrant reports whether a member of this role may make one who has the role from one who has the role
// to. What makes no difference is allowed to whom it could be told.
func (r Role) MayGrant(from, to Role) bool {
	return from.Valid() && to.Valid() && r.May(Entitle)
}
