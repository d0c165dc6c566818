"""The plugins that ship with vibro; each module has the shape of a third party's."""
