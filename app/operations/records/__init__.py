"""What every verb needs: who acts, when, under which parameters, and the trail it leaves."""
