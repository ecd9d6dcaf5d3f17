// Where does the page begin?
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import 'uplot/dist/uPlot.min.css'
import './style.css'
import './theme'
import { Shell } from './shell/Shell'

const root = document.getElementById('root')
if (root) createRoot(root).render(<StrictMode><Shell /></StrictMode>)
