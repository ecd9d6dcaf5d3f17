// Whose telemetry is it? The program watches itself too; on most screens that would stand in the way.

/** The program's own service. */
export const OWN_SERVICE = 'causeway'
export const OWN = `(service_name IS DISTINCT FROM '${OWN_SERVICE}')`
