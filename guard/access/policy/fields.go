package policy

import (
	"math/bits"

	"github.com/cedar-policy/cedar-go"
)

// Fields are attributes of the principal and of the context. In Cedar an
// attribute is read by its name as it stands in the policy, so that what no
// policy names need not be made.
type Fields uint32

const (
	fieldID Fields = 1 << iota
	fieldName
	fieldEmail
	fieldTenant
	fieldIssuer
	fieldRoles
	fieldScopes
	fieldToken
	fieldAMR
	fieldMethod
	fieldSecure
	fieldClient
	fieldAge
	fieldPath
	someContext // the context is read, whatever of it
)

// All are all of them.
const All = someContext<<1 - 1

var fieldNames = [...]cedar.String{"id", "name", "email", "tenant", "issuer", "roles", "scopes", "token", "amr",
	"method", "secure", "client", "authAge", "path"}

func (f Fields) name() cedar.String { return fieldNames[bits.TrailingZeros32(uint32(f))] }

func fieldOf(name cedar.String) Fields {
	for i, n := range fieldNames {
		if n == name {
			return 1 << i
		}
	}
	return 0
}
