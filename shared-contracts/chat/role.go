package chat

// Role is the role of a member in a channel or group. The empty Role means that the user is not a
// member and may do nothing.
type Role string

// The roles, from most to least powerful.
const (
	Owner  Role = "owner"
	Admin  Role = "admin"
	Member Role = "member"
)

// Valid reports whether r is a known role.
func (r Role) Valid() bool { return r == Owner || r == Admin || r == Member }

// Act is an action in a channel or group.
type Act string

// The actions. MayRemove and MayGrant apply further rules to actions on other members.
const (
	Read      Act = "read"      // history, members, presence, receipts
	Post      Act = "post"      // send messages and reactions, change one's own messages
	Leave     Act = "leave"     // leave the channel or group
	Invite    Act = "invite"    // invite or add members
	Describe  Act = "describe"  // change name and description
	Moderate  Act = "moderate"  // delete other members' messages and reactions
	Extend    Act = "extend"    // add channels to a group
	Close     Act = "close"     // delete the channel or group
	Entitle   Act = "entitle"   // change the roles of other members
	Disinvite Act = "disinvite" // remove other members; MayRemove decides whom
)

// minRole is the lowest role that may perform each action. This is the only place where permissions
// are defined.
var minRole = map[Act]Role{
	Read: Member, Post: Member, Leave: Member,
	Invite: Admin, Describe: Admin, Moderate: Admin, Extend: Admin, Disinvite: Admin,
	Close: Owner, Entitle: Owner,
}

// rank orders the roles; it is 0 for a non-member.
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

// May reports whether a member with this role may perform a in a group or in a channel that is not
// direct.
func (r Role) May(a Act) bool {
	lowest, known := minRole[a]
	return known && r.rank() >= lowest.rank()
}

// MayIn reports whether a member with this role may perform a in a channel of the given kind. In a
// direct channel, both members may read and post, and nothing else.
func (r Role) MayIn(kind ChannelKind, a Act) bool {
	if kind == Direct && a != Read && a != Post {
		return false
	}
	return r.May(a)
}

// MayRemove reports whether a member with this role may remove a member with role other. Owners may
// remove anybody; admins may remove members with a lower role.
func (r Role) MayRemove(other Role) bool {
	return r.May(Disinvite) && (r == Owner || r.rank() > other.rank())
}

// MayGrant reports whether a member with this role may change another member's role from from to
// to. A change to the same role is allowed under the same rules.
func (r Role) MayGrant(from, to Role) bool {
	return from.Valid() && to.Valid() && r.May(Entitle)
}
