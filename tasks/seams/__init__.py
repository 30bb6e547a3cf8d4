"""What tasks share and no step is: tracking, the step cache, reports, the tokeniser."""
