// What if a screen fails? The rest stands, and the failure is said instead of an empty page.
import { Component, type ReactNode } from 'react'

export class Guard extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state: { error: Error | null } = { error: null }

  static getDerivedStateFromError(error: Error) {
    return { error }
  }

  override render() {
    if (!this.state.error) return this.props.children
    return (
      <section className="panel notice" role="alert">
        <p>This screen failed: {this.state.error.message}</p>
        <p><button className="button" onClick={() => this.setState({ error: null })}>Try again</button></p>
      </section>
    )
  }
}
