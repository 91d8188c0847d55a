// Package config fills a program's typed settings from environment variables.
//
// A setting is a field with the tags `env:"CHAT_ADDR" envDefault:":8080" desc:"listen address"`.
// Fields of nested structs are also settings; `envPrefix:"…"` on the struct field adds a prefix to
// their names. A setting whose variable is unset or empty gets its default. Load reports every
// invalid variable by name. The package does not read the environment itself: the caller passes
// os.Getenv or, in a test, a map lookup.
package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Var describes one variable of a configuration.
type Var struct {
	Name    string // the environment variable
	Default string // default value, as written in the tag; empty means the zero value
	Desc    string // what it configures
	Type    string // type as shown in --help: "duration", "percent", "list", …
}

// Error names an invalid variable and the reason why it is invalid.
type Error struct {
	Name string
	Err  error
}

func (e *Error) Error() string { return e.Name + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Load fills cfg, a pointer to a struct, from getenv. It leaves fields without an env tag
// unchanged. The error joins one *Error for each invalid variable, in field order. Even if there is
// an error, the valid fields are set.
func Load(cfg any, getenv func(string) string) error {
	v := reflect.ValueOf(cfg)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("config: Load needs a pointer to a struct, got %T", cfg)
	}
	var errs []error
	walk(v.Elem().Type(), "", nil, func(name string, index []int, f reflect.StructField) {
		if err := loadField(v.Elem().FieldByIndex(index), name, f, getenv); err != nil {
			errs = append(errs, &Error{Name: name, Err: err})
		}
	})
	return errors.Join(errs...)
}

// loadField loads one field. It passes a struct with only this field to package env, so that an
// error can only be about this field. Package env's errors name the Go field, not the variable, and
// two nested structs may both have a field called Addr.
func loadField(dst reflect.Value, name string, f reflect.StructField, getenv func(string) string) error {
	tagName, _, _ := strings.Cut(f.Tag.Get("env"), ",")
	environment := map[string]string{}
	if value := getenv(name); value != "" {
		environment[tagName] = value
	}
	one := reflect.New(reflect.StructOf([]reflect.StructField{{Name: f.Name, Type: f.Type, Tag: f.Tag}}))
	one.Elem().Field(0).Set(dst)
	if err := env.ParseWithOptions(one.Interface(), env.Options{Environment: environment}); err != nil {
		return plain(err)
	}
	dst.Set(one.Elem().Field(0))
	return nil
}

// plain extracts the reason from an error of package env, which also names Go fields and types.
func plain(err error) error {
	if p, ok := errors.AsType[env.ParseError](err); ok {
		return p.Err
	}
	if _, ok := errors.AsType[env.VarIsNotSetError](err); ok {
		return errors.New("must be set")
	}
	if _, ok := errors.AsType[env.EmptyVarError](err); ok {
		return errors.New("must not be empty")
	}
	return err
}

// Vars lists the variables of cfg, a struct or a pointer to one, in the order of its fields.
func Vars(cfg any) []Var {
	t := reflect.TypeOf(cfg)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var vars []Var
	walk(t, "", nil, func(name string, _ []int, f reflect.StructField) {
		vars = append(vars, Var{
			Name: name, Default: f.Tag.Get("envDefault"), Desc: f.Tag.Get("desc"), Type: typeName(f.Type),
		})
	})
	return vars
}

// walk calls visit for every exported field of t that has an env tag, including those of nested
// structs.
func walk(t reflect.Type, prefix string, index []int, visit func(name string, index []int, f reflect.StructField)) {
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() && !f.Anonymous {
			continue
		}
		at := append(append([]int(nil), index...), i)
		name, _, _ := strings.Cut(f.Tag.Get("env"), ",")
		switch {
		case name != "" && name != "-":
			visit(prefix+name, at, f)
		case name == "" && f.Type.Kind() == reflect.Struct:
			walk(f.Type, prefix+f.Tag.Get("envPrefix"), at, visit)
		}
	}
}
