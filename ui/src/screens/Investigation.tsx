export function Investigation() { return null }
